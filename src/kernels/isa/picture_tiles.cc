// The copies of kernels/picture_tiles.h: those from AVX-512 VNNI on have contents.
#include "kernels/picture_tiles.h"
#include "kernels/picture_winograd.h"

#include <type_traits>

#include "base/half.h"
#include "kernels/isa/dot_rows.h"
#include "kernels/isa/simd.h"
#include "kernels/isa/tiles.h"

#if defined(SUMI_BF16)
#include "kernels/isa/bf16_store.h"
#include "kernels/isa/gelu.h"
#include "kernels/isa/picture_store.h"
#include "kernels/isa/plain_panels.h"
#include "kernels/isa/simd_int.h"
#endif

namespace sumi::kernels::SUMI_ISA {

extern const PictureTileKernels kPictureTiles;
extern const PictureWinogradKernels kPictureWinograd;

#if defined(SUMI_BF16)
namespace {

using Product = PictureTileKernels::Product;

constexpr int64_t kRows = PictureTileKernels::kRows;
constexpr int64_t kTileBytes = 1024, kTileFloats = 256;

inline void store_gated(const Product& p, Vec value, Vec gate, int64_t at) {
  const Vec result = value * gelu(gate);
  if (p.y.bf16)
    store_bf16(result, static_cast<uint16_t*>(p.y.data) + at);
  else
    result.store(static_cast<float*>(p.y.data) + at);
}

// Stores a row's results of a panel from its sums.
template <bool kInt8>
inline void finish_row(const Product& p, int64_t panel, int64_t row, Vec left, Vec right) {
  const int64_t place = p.places ? p.places[row] : row;
  if (place < 0) return;
  if constexpr (kInt8) {
    const Vec scale = Vec::set1(p.row_scales[row]);
    left = left * (scale * Vec::load(p.weight_scales + panel * kTileOuts));
    right = right * (scale * Vec::load(p.weight_scales + panel * kTileOuts + 16));
  }
  if (p.epilogue.bias) {
    left = left + Vec::load(p.epilogue.bias + panel * kTileOuts);
    right = right + Vec::load(p.epilogue.bias + panel * kTileOuts + 16);
  }
  const int64_t at = place * p.y_row + panel * (p.gated ? kTileOuts / 2 : kTileOuts);
  p.gated ? store_gated(p, left, right, at) : store_pair(p.epilogue, p.y, left, right, at);
}

#if defined(SUMI_AMX)
// A stretch of a product's depth: chunks [begin, end). Its weights of a panel stay in the first cache while all rows go
// by; sums wait in the second.
struct Stretch {
  int64_t begin, end;
};

void zero_sums() {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
}
void load_sums(const float* sums) {
  tile_load<0>(sums, 64);
  tile_load<1>(sums + kTileFloats, 64);
  tile_load<2>(sums + 2 * kTileFloats, 64);
  tile_load<3>(sums + 3 * kTileFloats, 64);
}
void store_sums(float* sums) {
  tile_store<0>(sums, 64);
  tile_store<1>(sums + kTileFloats, 64);
  tile_store<2>(sums + 2 * kTileFloats, 64);
  tile_store<3>(sums + 3 * kTileFloats, 64);
}

inline void ask_for(const std::byte* from, int64_t stride, int64_t lines) {
  for (int64_t i = 0; i < lines; ++i) __builtin_prefetch(from + i * stride);
}

// Adds a stretch of a block of rows and a panel to the sums in tiles 0 to 3. Meanwhile asks for what comes next: of a
// convolution's input, which lies in the first cache for all taps, the next block's rows; of other inputs the chunk after
// the next; and a part of the weights of the next panel.
template <bool kConvolution, bool kInt8>
inline void multiply(const Product& p, Stretch s, const std::byte* a, const std::byte* weights, const std::byte* next) {
  constexpr int64_t kAsked = kConvolution ? 11 : kRows;  // a third of a row of taps
  a += s.begin * p.chunk_stride;
  for (int64_t c = s.begin; c < s.end; ++c, a += p.chunk_stride)
    for (int64_t t = 0; t < p.tap_count; ++t, weights += 2 * kTileBytes, next += 4 * kLineBytes) {
      const std::byte* rows = a + p.taps[t];
      tile_load<6>(weights, 64);
      tile_load<4>(rows, p.row_stride);
      tile_load<7>(weights + kTileBytes, 64);
      tile_load<5>(rows + kTileRows * p.row_stride, p.row_stride);
      if (kConvolution)
        ask_for(a + p.taps[t / 3 * 3] + (kRows + 2 + t % 3 * kAsked) * kLineBytes, kLineBytes, kAsked);
      else
        ask_for(a + 2 * p.chunk_stride, p.row_stride, kAsked);
      ask_for(next, kLineBytes, 4);
      if constexpr (kInt8) {
        tile_dot_s8_s8<0, 4, 6>();
        tile_dot_s8_s8<1, 4, 7>();
        tile_dot_s8_s8<2, 5, 6>();
        tile_dot_s8_s8<3, 5, 7>();
      } else {
        tile_dot_bf16<0, 4, 6>();
        tile_dot_bf16<1, 4, 7>();
        tile_dot_bf16<2, 5, 6>();
        tile_dot_bf16<3, 5, 7>();
      }
    }
}

template <bool kInt8>
inline Vec load_sum(const float* p) {
  if constexpr (kInt8) return {_mm512_cvtepi32_ps(_mm512_loadu_si512(p))};
  return Vec::load(p);
}

// Results of a block of rows and a panel from their sums (int32 of int8), [row half][column half][16][16].
template <bool kInt8>
void finish(const Product& p, int64_t panel, int64_t first, const float* sums) {
  const int64_t end = p.rows - first < kRows ? p.rows - first : kRows;
  for (int64_t r = 0; r < end; ++r) {
    const float* row = sums + r / 16 * 2 * kTileFloats + r % 16 * 16;
    finish_row<kInt8>(p, panel, first + r, load_sum<kInt8>(row), load_sum<kInt8>(row + kTileFloats));
  }
}

template <bool kConvolution, bool kInt8>
void product_of(const Product& p) {
  const TileShapes shapes;
  alignas(64) float last[4 * kTileFloats];
  const int64_t chunk_bytes = p.tap_count * 2 * kTileBytes, panel_bytes = p.chunks * chunk_bytes;
  const int64_t blocks = (p.rows + kRows - 1) / kRows, depth = PictureTileKernels::stretch(p.tap_count);
  for (int64_t begin = 0; begin < p.chunks; begin += depth) {
    const Stretch stretch{begin, begin + depth < p.chunks ? begin + depth : p.chunks};
    const bool whole = stretch.end == p.chunks;
    for (int64_t panel = 0; panel < p.panels; ++panel) {
      const std::byte* weights = p.weights + panel * panel_bytes + begin * chunk_bytes;
      const std::byte* next = panel + 1 < p.panels ? weights + panel_bytes : p.weights + stretch.end * chunk_bytes;
      for (int64_t block = 0; block < blocks; ++block) {
        float* sums = p.scratch + (panel * blocks + block) * 4 * kTileFloats;
        begin == 0 ? zero_sums() : load_sums(sums);
        multiply<kConvolution, kInt8>(p, stretch, p.a + block * kRows * p.row_stride, weights,
                               next + block * (stretch.end - begin) * p.tap_count * 4 * kLineBytes);
        store_sums(whole ? last : sums);
        if (whole) finish<kInt8>(p, panel, block * kRows, last);
      }
    }
  }
}

void product(const Product& p) {
  if (p.int8)
    p.tap_count == 1 ? product_of<false, true>(p) : product_of<true, true>(p);
  else
    p.tap_count == 1 ? product_of<false, false>(p) : product_of<true, false>(p);
}

#else

inline Vec to_floats(Vec sum) { return sum; }
inline Vec to_floats(Register sum) { return to_float(sum); }

// Results of kCount rows from `first` on and a panel.
template <bool kInt8, int kCount>
inline void rows_of_panel(const Product& p, int64_t panel, int64_t first, const std::byte* weights) {
  typename Dot<kInt8>::Sum sum[kCount][2];
  begin_sums<kInt8>(p.weight_offsets + panel * kTileOuts, sum);
  const std::byte* a = p.a + first * kLineBytes;
  for (int64_t c = 0; c < p.chunks; ++c, a += p.chunk_stride) {
    for (int r = 0; r < kCount; ++r) prefetch(a + p.chunk_stride + r * kLineBytes);
    for (int64_t t = 0; t < p.tap_count; ++t, weights += 2 * kTileBytes)
      dot_lines<Dot<kInt8>, kCount>(a + p.taps[t], kLineBytes, weights, kTileBytes, 16, sum);
  }
  alignas(64) float results[kCount][kTileOuts];
  SUMI_UNROLLED
  for (int r = 0; r < kCount; ++r)
    SUMI_UNROLLED
    for (int j = 0; j < 2; ++j) to_floats(sum[r][j]).store(results[r] + 16 * j);
  for (int r = 0; r < kCount; ++r)
    finish_row<kInt8>(p, panel, first + r, Vec::load(results[r]), Vec::load(results[r] + 16));
}

template <bool kInt8>
void dot_product(const Product& p) {
  const int64_t panel_bytes = p.chunks * p.tap_count * 2 * kTileBytes;
  for (int64_t panel = 0; panel < p.panels; ++panel)
    for_row_blocks(p.rows, [&](auto count, int64_t first) {
      rows_of_panel<kInt8, count>(p, panel, first, p.weights + panel * panel_bytes);
    });
}

void product(const Product& p) { p.int8 ? dot_product<true>(p) : dot_product<false>(p); }
#endif

#if defined(SUMI_AMX)
constexpr uint8_t kZeroCode = 0;
#else
constexpr uint8_t kZeroCode = 128;  // vector instructions multiply unsigned codes by signed ones
#endif

// Codes of 16 inputs times `inverse`.
inline void store_codes(Vec x, Vec inverse, std::byte* to) {
  x = max(Vec::set1(-127), min(Vec::set1(127), round(x * inverse))) + Vec::set1(kZeroCode);
#if defined(SUMI_EMULATE_AVX512)
  float lanes[16];
  x.store(lanes);
  for (int i = 0; i < 16; ++i) to[i] = static_cast<std::byte>(static_cast<int>(lanes[i]));
#else
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x.v)));
#endif
}

// 16 inputs from channel c on, after the affine.
template <bool kSilu>
inline Vec changed(const PictureTileKernels::Lines& a, int64_t at, int64_t c) {
  Vec x = load_number(a.x.data, a.x.bf16, at + c);
  if (a.affine.scale) x = fma(x, Vec::load(a.affine.scale + c), Vec::load(a.affine.shift + c));
  return kSilu ? x * sigmoid(x) : x;
}

template <bool kSilu>
void code_lines(const PictureTileKernels::Lines& a) {
  const Vec inverse = Vec::set1(a.inverse);
  for (int64_t i = 0; i < a.pixels; ++i)
    for (int64_t c = 0; c < a.channels; c += 16) {
      std::byte* to = a.to + c / 64 * a.chunk_stride + i * a.repeat * kLineBytes + c % 64;
      const Vec x = changed<kSilu>(a, i * a.step, c);
      for (int64_t k = 0; k < a.repeat; ++k) store_codes(x, inverse, to + k * kLineBytes);
    }
}

template <bool kSilu>
void quantize_pixels(const PictureTileKernels::Lines& a, float* scales, float* buffer) {
  for (int64_t i = 0; i < a.pixels; ++i) {
    Vec largest = Vec::zero();
    for (int64_t c = 0; c < a.channels; c += 16) {
      const Vec x = changed<kSilu>(a, i * a.step, c);
      largest = max(largest, absolute(x));
      x.store(buffer + c);
    }
    scales[i] = max_lanes(largest) / 127;
    const Vec inverse = Vec::set1(scales[i] > 0 ? 1 / scales[i] : 0);
    for (int64_t c = 0; c < a.channels; c += 16)
      store_codes(Vec::load(buffer + c), inverse, a.to + c / 64 * a.chunk_stride + i * kLineBytes + c % 64);
  }
}

void quantize(const PictureTileKernels::Lines& a, float* scales, float* buffer) {
  a.affine.silu ? quantize_pixels<true>(a, scales, buffer) : quantize_pixels<false>(a, scales, buffer);
}

void bounds(TileInput x, int64_t pixels, int64_t channels, float* low, float* high) {
  constexpr int64_t kTogether = 16;
  for (int64_t first = 0; first < pixels; first += kTogether) {
    const int64_t end = first + kTogether < pixels ? first + kTogether : pixels;
    for (int64_t c = 0; c < channels; c += 16) {
      Vec least = Vec::load(low + c), most = Vec::load(high + c);
      for (int64_t i = first; i < end; ++i) {
        const Vec value = load_number(x.data, x.bf16, i * channels + c);
        least = min(least, value);
        most = max(most, value);
      }
      least.store(low + c);
      most.store(high + c);
    }
  }
}

template <bool kBf16, bool kSilu>
void lines_of(const PictureTileKernels::Lines& a) {
  for (int64_t c = 0; c < a.channels; c += 32) {
    std::byte* to = a.to + c / 32 * a.chunk_stride;
    const bool affine = a.affine.scale != nullptr;
    Vec scale[2], shift[2];
    for (int j = 0; affine && j < 2; ++j) {
      scale[j] = Vec::load(a.affine.scale + c + 16 * j);
      shift[j] = Vec::load(a.affine.shift + c + 16 * j);
    }
    for (int64_t i = 0; i < a.pixels; ++i) {
      Vec x[2];
      for (int j = 0; j < 2; ++j) {
        x[j] = load_number(a.x.data, kBf16, i * a.step + c + 16 * j);
        if (affine) x[j] = fma(x[j], scale[j], shift[j]);
        if (kSilu) x[j] = x[j] * sigmoid(x[j]);
      }
      for (int64_t k = 0; k < a.repeat; ++k, to += kLineBytes) store_bf16(x[0], x[1], to);
    }
  }
}

void lines(const PictureTileKernels::Lines& a) {
  if (a.int8) return a.affine.silu ? code_lines<true>(a) : code_lines<false>(a);
  if (a.x.bf16)
    a.affine.silu ? lines_of<true, true>(a) : lines_of<true, false>(a);
  else
    a.affine.silu ? lines_of<false, true>(a) : lines_of<false, false>(a);
}

void widen(const std::byte* codes, const float* scales, int64_t lines, std::byte* to) {
  Vec scale[4];  // of two inputs of eight outputs
  for (int j = 0; j < 4; ++j) {
    float twice[16];
    for (int i = 0; i < 16; ++i) twice[i] = scales[8 * j + i / 2];
    scale[j] = Vec::load(twice);
  }
  for (int64_t line = 0; line < lines; ++line, codes += 32, to += kLineBytes) {
    const int64_t half = line / 16 % 2 * 2;
    store_bf16(load_i8(codes) * scale[half], load_i8(codes + 16) * scale[half + 1], to);
  }
}

#if defined(SUMI_AMX)
constexpr const PictureWinogradKernels* kWinograd = nullptr;  // tiles are as fast without
#else
constexpr const PictureWinogradKernels* kWinograd = &kPictureWinograd;
#endif

}  // namespace

const PictureTileKernels kPictureTiles = {product,   lines,     quantize, bounds, widen,
                                          plain_panels::panel, kZeroCode, kWinograd};
#else
const PictureTileKernels kPictureTiles = {};
#endif

}  // namespace sumi::kernels::SUMI_ISA

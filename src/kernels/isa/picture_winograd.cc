// The copies of kernels/picture_winograd.h: those of processors that multiply bf16 in vectors have contents.
#include "kernels/picture_winograd.h"

#include <type_traits>

#include "kernels/isa/dot_rows.h"
#include "kernels/isa/winograd.h"

#if defined(SUMI_DOT_ROWS)
#include "kernels/isa/gelu.h"
#include "kernels/isa/picture_store.h"

namespace sumi::kernels::SUMI_ISA {

extern const PictureWinogradKernels kPictureWinograd;

namespace {

using Kernels = PictureWinogradKernels;
constexpr int64_t kHalfBytes = 16 * kLineBytes;  // of a panel's weights of one chunk: 16 outputs

constexpr int64_t kDown = Kernels::kDown, kAcross = Kernels::kAcross, kRows = Kernels::kRows, kColumns = Kernels::kColumns;

// A tile's lines at `from`; take(frequency, even, odd) gets what they become.
template <class Take>
inline void transform_inputs(const std::byte* from, int64_t row_bytes, const Take& take) {
  Vec even[kRows * kColumns], odd[kRows * kColumns];  // transformed along columns
  for (int64_t j = 0; j < kColumns; ++j) {
    Vec d[kRows], e[kRows];
    for (int64_t i = 0; i < kRows; ++i) {
      const std::byte* line = from + i * row_bytes + j * kLineBytes;
      d[i] = even_of_pairs(line);
      e[i] = odd_of_pairs(line);
    }
    Winograd<kDown>::input(d, 1, even + j, kColumns);
    Winograd<kDown>::input(e, 1, odd + j, kColumns);
  }
  for (int64_t i = 0; i < kRows; ++i) {
    Vec d[kColumns], e[kColumns];
    Winograd<kAcross>::input(even + kColumns * i, 1, d, 1);
    Winograd<kAcross>::input(odd + kColumns * i, 1, e, 1);
    for (int64_t j = 0; j < kColumns; ++j) take(kColumns * i + j, d[j], e[j]);
  }
}

void inputs(const Kernels::Inputs& a) {
  for (int64_t t = 0; t < a.tiles; ++t) {
    std::byte* to = a.to + t * kLineBytes;
    transform_inputs(a.lines + t * kAcross * kLineBytes, a.row_bytes,
                     [&](int64_t f, Vec even, Vec odd) { store_pairs(even, odd, to + f * a.slice); });
  }
}

// Codes of 32 channels, each higher by 128.
inline void store_codes(const float* x, Vec inverse, std::byte* to) {
  const Register high = splat32(128);
  const Register even = add32(_mm512_cvtps_epi32((Vec::load(x) * inverse).v), high);
  const Register odd = add32(_mm512_cvtps_epi32((Vec::load(x + 16) * inverse).v), high);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(bit_or(even, _mm512_slli_epi32(odd, 8))));
}

void code_inputs(const Kernels::CodeInputs& args) {
  const Kernels::Inputs& a = args.inputs;
  for (int64_t t = 0; t < a.tiles; ++t) {
    Vec largest[Kernels::kFrequencies];
    for (Vec& v : largest) v = Vec::zero();
    for (int64_t c = 0; c < args.channels; c += 32)
      transform_inputs(a.lines + c / 32 * args.chunk_bytes + t * kAcross * kLineBytes, a.row_bytes,
                       [&](int64_t f, Vec even, Vec odd) {
                         even.store(args.buffer + f * args.channels + c);
                         odd.store(args.buffer + f * args.channels + c + 16);
                         largest[f] = max(largest[f], max(absolute(even), absolute(odd)));
                       });
    for (int64_t f = 0; f < Kernels::kFrequencies; ++f) {
      const float scale = max_lanes(largest[f]) / 127;
      args.scales[f * Kernels::kTiles + t] = scale;
      const Vec inverse = Vec::set1(scale > 0 ? 1 / scale : 0);
      for (int64_t c = 0; c < args.channels; c += 32)
        store_codes(args.buffer + f * args.channels + c, inverse,
                    a.to + f * a.slice + c / 64 * Kernels::kTiles * kLineBytes + t * kLineBytes + c % 64);
    }
  }
}

// Four inputs of 16 outputs; take(input, frequency, numbers) gets what their nine codes become.
template <class Take>
inline void transform_codes(const std::byte* from, const Take& take) {
  for (int k = 0; k < 4; ++k) {
    Vec half[kRows * 3];
    for (int64_t j = 0; j < 3; ++j) {
      Vec g[3];
      for (int64_t i = 0; i < 3; ++i) {
        const Register codes = load_bytes(from + (3 * i + j) * 2 * kHalfBytes);
        g[i] = to_float(_mm512_srai_epi32(_mm512_sllv_epi32(codes, splat32(24 - 8 * k)), 24));
      }
      Winograd<kDown>::weights(g, 1, half + j, 3);
    }
    for (int64_t i = 0; i < kRows; ++i) {
      Vec g[kColumns];
      Winograd<kAcross>::weights(half + 3 * i, 1, g, 1);
      for (int64_t j = 0; j < kColumns; ++j) take(k, kColumns * i + j, g[j]);
    }
  }
}

void code_largest(const std::byte* panel, int64_t chunks, float* to) {
  for (int64_t half = 0; half < 2; ++half) {
    Vec largest[Kernels::kFrequencies];
    for (Vec& v : largest) v = Vec::zero();
    for (int64_t c = 0; c < chunks; ++c)
      for (int64_t line = 0; line < 16; ++line)
        transform_codes(panel + c * 9 * 2 * kHalfBytes + half * kHalfBytes + line * kLineBytes,
                        [&](int, int64_t f, Vec u) { largest[f] = max(largest[f], absolute(u)); });
    for (int64_t f = 0; f < Kernels::kFrequencies; ++f) largest[f].store(to + f * kTileOuts + 16 * half);
  }
}

void code_weights(const Kernels::CodeWeights& a) {
  const int64_t slice = Kernels::weight_slice(a.chunks);
  for (int64_t half = 0; half < 2; ++half) {
    Vec inverse[Kernels::kFrequencies];
    Register sums[Kernels::kFrequencies];
    for (int64_t f = 0; f < Kernels::kFrequencies; ++f) {
      const Vec largest = Vec::load(a.largest + f * kTileOuts + 16 * half);
      inverse[f] = select_positive(largest, Vec::set1(127) / largest, Vec::zero());
      (largest * Vec::load(a.scales + 16 * half) * Vec::set1(1.0f / 127)).store(a.to_scales + f * kTileOuts + 16 * half);
      sums[f] = zero_register();
    }
    for (int64_t line = 0; line < a.chunks * 16; ++line) {
      Register codes[Kernels::kFrequencies];
      transform_codes(a.panel + line / 16 * 9 * 2 * kHalfBytes + half * kHalfBytes + line % 16 * kLineBytes,
                      [&](int k, int64_t f, Vec u) {
                        const Register code = _mm512_cvtps_epi32((u * inverse[f]).v);
                        sums[f] = add32(sums[f], code);
                        const Register byte = _mm512_sllv_epi32(bit_and(code, splat32(255)), splat32(8 * k));
                        codes[f] = k == 0 ? byte : bit_or(codes[f], byte);
                      });
      std::byte* to = a.to + (line / 16 * kTileOuts + half * 16 + line % 16) * kLineBytes;
      for (int64_t f = 0; f < Kernels::kFrequencies; ++f) store_bytes(to + f * slice, codes[f]);
    }
    for (int64_t f = 0; f < Kernels::kFrequencies; ++f) {
      const Vec offset = to_float(sums[f]) * Vec::set1(-128);
      store_bytes(a.to_offsets + f * kTileOuts + 16 * half, _mm512_cvtps_epi32(offset.v));
    }
  }
}

void weights(const std::byte* panel, int64_t chunks, int64_t slice, std::byte* to) {
  for (int64_t c = 0; c < chunks; ++c)
    for (int64_t line = 0; line < kTileOuts; ++line) {
      const std::byte* from = panel + c * 9 * 2 * kHalfBytes + line * kLineBytes;
      Vec even[kRows * 3], odd[kRows * 3];
      for (int64_t j = 0; j < 3; ++j) {
        Vec g[3], h[3];
        for (int64_t i = 0; i < 3; ++i) {
          const std::byte* pairs = from + (3 * i + j) * 2 * kHalfBytes;
          g[i] = even_of_pairs(pairs);
          h[i] = odd_of_pairs(pairs);
        }
        Winograd<kDown>::weights(g, 1, even + j, 3);
        Winograd<kDown>::weights(h, 1, odd + j, 3);
      }
      std::byte* own = to + (c * kTileOuts + line) * kLineBytes;
      for (int64_t i = 0; i < kRows; ++i) {
        Vec g[kColumns], h[kColumns];
        Winograd<kAcross>::weights(even + 3 * i, 1, g, 1);
        Winograd<kAcross>::weights(odd + 3 * i, 1, h, 1);
        for (int64_t j = 0; j < kColumns; ++j) store_pairs(g[j], h[j], own + (kColumns * i + j) * slice);
      }
    }
}

// Sums of kCount tiles of frequency f, from tile `first` on.
template <bool kInt8, int kCount>
inline void multiply(const Kernels::Tiles& a, int64_t f, int64_t first) {
  typename Dot<kInt8>::Sum sum[kCount][2];
  begin_sums<kInt8>(a.offsets + f * kTileOuts, sum);
  const std::byte* x = a.inputs + f * Kernels::tile_slice(a.chunks) + first * kLineBytes;
  const std::byte* w = a.weights + f * Kernels::weight_slice(a.chunks);
  for (int64_t c = 0; c < a.chunks; ++c, x += Kernels::kTiles * kLineBytes, w += 2 * kHalfBytes) {
    for (int r = 0; r < kCount; ++r) prefetch(x + Kernels::kTiles * kLineBytes + r * kLineBytes);
    dot_lines<kInt8, kCount>(x, kLineBytes, w, kHalfBytes, 16, sum);
  }
  float* to = a.sums + f * Kernels::kSumSlice + first * kTileOuts;
  SUMI_UNROLLED
  for (int r = 0; r < kCount; ++r)
    SUMI_UNROLLED
    for (int j = 0; j < 2; ++j) {
      if constexpr (kInt8)
        (to_float(sum[r][j]) * (Vec::set1(a.input_scales[f * Kernels::kTiles + first + r]) *
                                Vec::load(a.weight_scales + f * kTileOuts + 16 * j)))
            .store(to + r * kTileOuts + 16 * j);
      else
        sum[r][j].store(to + r * kTileOuts + 16 * j);
    }
}

// A tile's outputs from its sums.
inline void transform_sums(const float* sums, Vec* to) {
  Vec half[kDown * kColumns];
  for (int64_t j = 0; j < kColumns; ++j) {
    Vec m[kRows];
    for (int64_t i = 0; i < kRows; ++i) m[i] = Vec::load(sums + (kColumns * i + j) * Kernels::kSumSlice);
    Winograd<kDown>::output(m, 1, half + j, kColumns);
  }
  for (int64_t i = 0; i < kDown; ++i) Winograd<kAcross>::output(half + kColumns * i, 1, to + kAcross * i, 1);
}

void finish(const Kernels::Tiles& a, Vec bias0, Vec bias1, int64_t tile) {
  const int64_t at = a.first + tile, own = at % (a.across * a.down);
  const int64_t y = own / a.across * kDown, x = own % a.across * kAcross;
  const int64_t rows = a.height - y < kDown ? a.height - y : kDown, columns = a.width - x < kAcross ? a.width - x : kAcross;
  const int64_t pixel = (at / (a.across * a.down) * a.height + y) * a.width + x;
  Vec left[kDown * kAcross], right[kDown * kAcross];
  transform_sums(a.sums + tile * kTileOuts, left);
  transform_sums(a.sums + tile * kTileOuts + 16, right);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      store_pair(a.epilogue, a.y, left[kAcross * i + j] + bias0, right[kAcross * i + j] + bias1,
                 (pixel + i * a.width + j) * a.y_row);
}

template <bool kInt8>
void all_sums(const Kernels::Tiles& a) {
  for (int64_t f = 0; f < Kernels::kFrequencies; ++f)
    for_row_blocks(a.count, [&](auto count, int64_t first) { multiply<kInt8, count>(a, f, first); });
}

void tiles(const Kernels::Tiles& a) {
  a.int8 ? all_sums<true>(a) : all_sums<false>(a);
  const float* bias = a.epilogue.bias;
  const Vec bias0 = bias ? Vec::load(bias) : Vec::zero(), bias1 = bias ? Vec::load(bias + 16) : Vec::zero();
  for (int64_t t = 0; t < a.count; ++t) finish(a, bias0, bias1, t);
}

}  // namespace

const PictureWinogradKernels kPictureWinograd = {inputs, weights, code_inputs, code_largest, code_weights, tiles};

}  // namespace sumi::kernels::SUMI_ISA
#endif

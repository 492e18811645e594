// The copies of kernels/picture_winograd.h: those from AVX-512 VNNI on, but with AMX, have contents.
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

// The same in whole numbers of 16 bits, 64 for each of a code: of the even and of the odd inputs among four, since a register
// holds two of each lane. Enough for codes of 8 bits, and a quarter of the operations.
using Words = Register;
inline Words times(Words a, float factor) {
  return _mm512_mulhrs_epi16(a, _mm512_set1_epi16(static_cast<int16_t>(factor * 32768)));
}
inline Words sub16(Words a, Words b) { return _mm512_sub_epi16(a, b); }

inline void transform_words(const Words* g, Words* half) {  // [3][3] to [kRows][3], Winograd<2>::weights
  for (int j = 0; j < 3; ++j) {
    const Words even = _mm512_srai_epi16(add16(g[j], g[6 + j]), 1), odd = _mm512_srai_epi16(g[3 + j], 1);
    half[j] = g[j];
    half[3 + j] = add16(even, odd);
    half[6 + j] = sub16(even, odd);
    half[9 + j] = g[6 + j];
  }
}
inline void transform_words_across(const Words* g, Words* t) {  // Winograd<4>::weights
  const Words first = times(g[0], 1.0f / 3), third = times(g[2], 1.0f / 3);
  const Words even1 = sub16(zero_register(), add16(add16(first, first), third)), odd1 = times(g[1], -2.0f / 3 * kA);
  const Words even2 = add16(times(g[0], 1.0f / 6), third), odd2 = times(g[1], kB / 6);
  t[0] = g[0];
  t[1] = add16(even1, odd1);
  t[2] = sub16(even1, odd1);
  t[3] = add16(even2, odd2);
  t[4] = sub16(even2, odd2);
  t[5] = g[2];
}

void code_weights(const Kernels::CodeWeights& a) {
  static_assert(kDown == 2 && kAcross == 4);
  const int64_t slice = Kernels::weight_slice(a.chunks);
  const Register upper = splat32(static_cast<int32_t>(0xff00ff00)), lower = splat32(0x00ff00ff);
  for (int64_t half = 0; half < 2; ++half) {
    Words factors[Kernels::kFrequencies];  // codes are words times these over 2^15
    Register sums[Kernels::kFrequencies];
    for (int64_t f = 0; f < Kernels::kFrequencies; ++f) {
      // 126.5, since words are off by some units; at most 4096, so that these are no part of a code.
      const Vec largest = Vec::load(a.largest + f * kTileOuts + 16 * half);
      const Vec exact = select_positive(largest, Vec::set1(126.5f * 512) / largest, Vec::zero());
      const Register factor = _mm512_cvtps_epi32(min(Vec::set1(4096), exact).v);
      factors[f] = bit_or(factor, _mm512_slli_epi32(factor, 16));
      const Vec step = select_positive(largest, Vec::set1(512) / max(Vec::set1(1), to_float(factor)), Vec::zero());
      (step * Vec::load(a.scales + 16 * half)).store(a.to_scales + f * kTileOuts + 16 * half);
      sums[f] = zero_register();
    }
    for (int64_t line = 0; line < a.chunks * 16; ++line) {
      const std::byte* from = a.panel + line / 16 * 9 * 2 * kHalfBytes + half * kHalfBytes + line % 16 * kLineBytes;
      Words even[9], odd[9], half_even[kRows * 3], half_odd[kRows * 3];
      for (int64_t i = 0; i < 9; ++i) {
        const Register codes = load_bytes(from + i * 2 * kHalfBytes);
        even[i] = _mm512_srai_epi16(shift_left16<8>(codes), 2);
        odd[i] = _mm512_srai_epi16(bit_and(codes, upper), 2);
      }
      transform_words(even, half_even);
      transform_words(odd, half_odd);
      std::byte* to = a.to + (line / 16 * kTileOuts + half * 16 + line % 16) * kLineBytes;
      for (int64_t i = 0; i < kRows; ++i) {
        Words e[kColumns], o[kColumns];
        transform_words_across(half_even + 3 * i, e);
        transform_words_across(half_odd + 3 * i, o);
        for (int64_t j = 0; j < kColumns; ++j) {
          const int64_t f = kColumns * i + j;
          const Words even_codes = _mm512_mulhrs_epi16(e[j], factors[f]), odd_codes = _mm512_mulhrs_epi16(o[j], factors[f]);
          const Register codes = bit_or(bit_and(even_codes, lower), shift_left16<8>(odd_codes));
          sums[f] = dot_u8_s8(sums[f], splat8(1), codes);
          store_bytes(to + f * slice, codes);
        }
      }
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
    dot_lines<Dot<kInt8>, kCount>(x, kLineBytes, w, kHalfBytes, 16, sum);
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

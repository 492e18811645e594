// Pairs of bf16 as products of vectors and tiles want them: two rows side by side, and squares of pairs turned.
#pragma once

#include "kernels/isa/bf16_store.h"
#include "kernels/isa/simd_int.h"

#if defined(SUMI_BF16)
namespace sumi::kernels::SUMI_ISA {

// 16 numbers of each of two rows, side by side: pairs of k, as products want them.
inline void interleave(const uint16_t* even, const uint16_t* odd, uint32_t* pairs) {
#if defined(SUMI_EMULATE_AVX512)
  for (int i = 0; i < 16; ++i) pairs[i] = even[i] | static_cast<uint32_t>(odd[i]) << 16;
#else
  const auto wide = [](const uint16_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  };
  _mm512_storeu_si512(pairs, _mm512_or_si512(wide(even), _mm512_slli_epi32(wide(odd), 16)));
#endif
}

inline void interleave(const float* even, const float* odd, uint32_t* pairs) {
  store_pairs(Vec::load(even), Vec::load(odd), pairs);
}

// Rows and columns of 4 bytes exchanged: take(column, register of it) for the first kColumns columns of kRows rows, `stride`
// apart, and zeros; all 16 columns are read.
template <int kColumns, int kRows = 16, class Take>
inline void for_columns_of_16(const uint32_t* from, int64_t stride, const Take& take) {
#if defined(SUMI_EMULATE_AVX512)
  for (int64_t j = 0; j < kColumns; ++j) {
    uint32_t column[16] = {};
    for (int64_t i = 0; i < kRows; ++i) column[i] = from[stride * i + j];
    take(j, load_bytes(column));
  }
#else
  __m512i a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = i < kRows ? _mm512_loadu_si512(from + stride * i) : _mm512_setzero_si512();
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {  // a[i + j]: column j of each quarter of rows i .. i + 3
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512i low = _mm512_shuffle_i32x4(a[i], a[4 + i], 0x88);
    const __m512i low2 = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0x88);
    take(i, _mm512_shuffle_i32x4(low, low2, 0x88));
    if (8 + i < kColumns) take(8 + i, _mm512_shuffle_i32x4(low, low2, 0xdd));
    const __m512i high = _mm512_shuffle_i32x4(a[i], a[4 + i], 0xdd);
    const __m512i high2 = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0xdd);
    take(4 + i, _mm512_shuffle_i32x4(high, high2, 0x88));
    if (12 + i < kColumns) take(12 + i, _mm512_shuffle_i32x4(high, high2, 0xdd));
  }
#endif
}

// A square of 16 rows, `stride` apart, turned.
inline void transpose(const uint32_t* from, int64_t stride, uint32_t* to) {
  for_columns_of_16<16>(from, stride, [&](int64_t column, Register values) { store_bytes(to + 16 * column, values); });
}

// The lower halves of a's lanes and the upper halves of b's.
inline Register lower_and_upper(Register a, Register b) {
  return bit_or(bit_and(a, splat32(0xffff)), bit_and(b, splat32(static_cast<int32_t>(0xffff0000))));
}
// The upper halves of a's lanes, moved down, and the lower halves of b's, moved up.
inline Register upper_and_lower(Register a, Register b) {
  return bit_or(_mm512_srli_epi32(a, 16), _mm512_slli_epi32(b, 16));
}

}  // namespace sumi::kernels::SUMI_ISA
#endif

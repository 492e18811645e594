// Squares of numbers of four bytes, or of pairs of two, turned: rows become columns. For AVX-512.
#pragma once

#include "kernels/isa/simd_int.h"

#if defined(SUMI_AVX512)
namespace sumi::kernels::SUMI_ISA {

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

}  // namespace sumi::kernels::SUMI_ISA
#endif

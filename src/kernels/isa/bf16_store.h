// Floats rounded to bf16 (to the nearest, ties to even) and stored. For copies with kernels for bf16.
#pragma once

#include "base/half.h"
#include "kernels/isa/simd.h"

#if defined(SUMI_BF16)
namespace sumi::kernels::SUMI_ISA {

#if defined(SUMI_EMULATE_AVX512)
inline void store_bf16(Vec x, void* to) {
  float lanes[Vec::kWidth];
  x.store(lanes);
  uint16_t bits[Vec::kWidth];
  for (int i = 0; i < Vec::kWidth; ++i) bits[i] = base::float_to_bf16(lanes[i]);
  std::memcpy(to, bits, sizeof bits);
}
inline void store_bf16(Vec first, Vec second, void* to) {
  store_bf16(first, to);
  store_bf16(second, static_cast<uint16_t*>(to) + Vec::kWidth);
}
inline Vec rounded_to_bf16(Vec x) {
  float lanes[Vec::kWidth];
  x.store(lanes);
  for (float& lane : lanes) lane = base::bf16_to_float(base::float_to_bf16(lane));
  return Vec::load(lanes);
}
#elif defined(SUMI_BF16_DOT)
inline void store_bf16(Vec x, void* to) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x.v)));
}
inline void store_bf16(Vec first, Vec second, void* to) {
  _mm512_storeu_si512(to, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second.v, first.v)));
}
inline Vec rounded_to_bf16(Vec x) {
  const __m512i bits = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x.v)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(bits, 16))};
}
#else
// In the upper half of each lane; the lower half is arbitrary. What is no number stays so: its highest bit of the fraction is
// set.
inline __m512i bf16_in_upper_half(Vec x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i last = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), last);
  const __mmask16 none = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(rounded, none, bits, _mm512_set1_epi32(1 << 22));
}
inline void store_bf16(Vec x, void* to) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), _mm512_cvtepi32_epi16(_mm512_srli_epi32(bf16_in_upper_half(x), 16)));
}
// Upper halves of all lanes of two registers, as `order` has them: 2 i + 1 of the first, 32 + 2 i + 1 of the second.
inline __m512i upper_halves(Vec first, Vec second, __m512i order) {
  return _mm512_permutex2var_epi16(bf16_in_upper_half(first), order, bf16_in_upper_half(second));
}
inline void store_bf16(Vec first, Vec second, void* to) {
  const __m512i order = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23,
                                         21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  _mm512_storeu_si512(to, upper_halves(first, second, order));
}
inline Vec rounded_to_bf16(Vec x) {
  return {_mm512_castsi512_ps(_mm512_and_si512(bf16_in_upper_half(x), _mm512_set1_epi32(static_cast<int>(0xffff0000))))};
}
#endif

// count: a multiple of 16.
inline void store_bf16(const float* x, int64_t count, uint16_t* to) {
  for (int64_t i = 0; i < count; i += 16) store_bf16(Vec::load(x + i), to + i);
}

// Two rows of 16 as pairs: first[0], second[0], first[1] ...
inline void store_pairs(Vec first, Vec second, void* to) {
#if defined(SUMI_EMULATE_AVX512)
  uint16_t a[16], b[16], both[32];
  store_bf16(first, a);
  store_bf16(second, b);
  for (int i = 0; i < 16; ++i) both[2 * i] = a[i], both[2 * i + 1] = b[i];
  std::memcpy(to, both, sizeof both);
#elif !defined(SUMI_BF16_DOT)
  const __m512i upper = bf16_in_upper_half(second), lower = _mm512_srli_epi32(bf16_in_upper_half(first), 16);
  _mm512_storeu_si512(to, _mm512_mask_blend_epi16(0xaaaaaaaa, lower, upper));
#else
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second.v, first.v));
  _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, both));
#endif
}

}  // namespace sumi::kernels::SUMI_ISA
#endif

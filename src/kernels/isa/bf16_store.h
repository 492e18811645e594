// Floats rounded to bf16 (to the nearest, ties to even) and stored. For copies with AVX-512 BF16.
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
#else
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
#endif

}  // namespace sumi::kernels::SUMI_ISA
#endif

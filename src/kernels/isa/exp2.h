// 2^x of small accuracy for weights of softmax.
#pragma once

#include "kernels/isa/simd_int.h"

#if defined(SUMI_AVX512)
namespace sumi::kernels::SUMI_ISA {

// 2^x for x < 2^7, from -100 on (2^-100 below): a polynomial of degree 3 on what is left from the nearest whole number (relative
// error 8e-5, a fiftieth of bf16's step), whose exponent is raised by that number. It is found by adding 1.5 * 2^23, whose
// last bits it then is: sums run beside products, which roundings and 2^n by one instruction each do not.
inline Vec exp2_coarse(Vec x) {
  const Vec big = Vec::set1(12582912);
  x = max(Vec::set1(-100), x);
  const Vec shifted = x + big, f = x - (shifted - big);
  Vec p = fma(Vec::set1(0.05517166f), f, Vec::set1(0.24261112f));
  p = fma(p, f, Vec::set1(0.69326099f));
  p = fma(p, f, Vec::set1(0.99992807f));
  const Register whole = _mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23);
  return {_mm512_castsi512_ps(add32(_mm512_castps_si512(p.v), whole))};
}

}  // namespace sumi::kernels::SUMI_ISA
#endif

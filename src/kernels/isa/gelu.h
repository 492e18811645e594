// The normal distribution's part in GELU, for the files in kernels/isa/.
#pragma once

#include "kernels/isa/simd.h"

namespace sumi::kernels::SUMI_ISA {

// erfc(|x| / sqrt(2)) / 2, the upper tail of the normal distribution at |x|. With t = 1 / (1 + 0.4
// z) and z = |x| / sqrt(2), erfc(z) e^(z^2) / (2 t) is smooth; the polynomial in t is fitted to it
// on [0, 10] (relative error 1.5e-8). gaussian returns e^(-x^2 / 2).
inline Vec normal_tail(Vec x, Vec& gaussian) {
  const Vec one = Vec::set1(1);
  gaussian = exp(Vec::set1(-0.5f) * x * x);
  const Vec t = one / fma(absolute(x), Vec::set1(0.4f * 0.70710678f), one);
  Vec p = Vec::set1(-0.016292237f);
  p = fma(p, t, Vec::set1(0.10691965f));
  p = fma(p, t, Vec::set1(-0.26748620f));
  p = fma(p, t, Vec::set1(0.29706922f));
  p = fma(p, t, Vec::set1(-0.16092411f));
  p = fma(p, t, Vec::set1(0.14570171f));
  p = fma(p, t, Vec::set1(0.061640476f));
  p = fma(p, t, Vec::set1(0.10811306f));
  p = fma(p, t, Vec::set1(0.11240134f));
  p = fma(p, t, Vec::set1(0.11285709f));
  return p * t * gaussian;
}

// x Phi(x): x (1 - tail) or x tail, both of which are max(x, 0) - |x| tail.
inline Vec gelu(Vec x) {
  Vec gaussian;
  const Vec tail = normal_tail(x, gaussian);
  return max(Vec::zero(), x) - absolute(x) * tail;
}

}  // namespace sumi::kernels::SUMI_ISA

// The transforms of Winograd's F(2, 3) and F(4, 3) (arXiv:1509.09308), applied to columns and then to rows for convolutions
// of pictures.
#pragma once

#include "kernels/isa/simd.h"

namespace sumi::kernels::SUMI_ISA {

template <int kOutputs>
struct Winograd;

// Winograd's F(4, 3) by interpolation at 0, -+a, -+b and infinity with a^2 = 1/2, b^2 = 2: products of the
// transforms' numbers stay nearer to 1 than with the customary 1 and 2, and rounding errors smaller. With m(x) = x (x^2
// - a^2) (x^2 - b^2): an input's number for the point p are the coefficients of m(x) / (x - p), a weight's [1, p, p^2] /
// m'(p), an output's row i p^i.
constexpr float kA = 0.70710678f, kB = 1.41421356f;

template <>
struct Winograd<4> {
  static void input(const Vec* d, int64_t step, Vec* t, int64_t t_step) {
    const Vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    const Vec two = Vec::set1(2), half = Vec::set1(0.5f), middle = Vec::set1(-2.5f), a = Vec::set1(kA);
    const Vec even1 = d4 - two * d2, odd1 = a * (d3 - two * d1);
    const Vec even2 = d4 - half * d2, odd2 = a * (two * d3 - d1);
    t[0] = fma(middle, d2, d0 + d4);
    t[t_step] = even1 + odd1;
    t[2 * t_step] = even1 - odd1;
    t[3 * t_step] = even2 + odd2;
    t[4 * t_step] = even2 - odd2;
    t[5 * t_step] = fma(middle, d3, d1 + d5);
  }

  static void weights(const Vec* g, int64_t step, Vec* t, int64_t t_step) {
    const Vec g0 = g[0], g1 = g[step], g2 = g[2 * step];
    const Vec even1 = Vec::set1(-2.0f / 3) * g0 - Vec::set1(1.0f / 3) * g2;
    const Vec odd1 = Vec::set1(-2.0f / 3 * kA) * g1;
    const Vec even2 = Vec::set1(1.0f / 6) * g0 + Vec::set1(1.0f / 3) * g2;
    const Vec odd2 = Vec::set1(kB / 6) * g1;
    t[0] = g0;
    t[t_step] = even1 + odd1;
    t[2 * t_step] = even1 - odd1;
    t[3 * t_step] = even2 + odd2;
    t[4 * t_step] = even2 - odd2;
    t[5 * t_step] = g2;
  }

  static void output(const Vec* m, int64_t step, Vec* t, int64_t t_step) {
    const Vec m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step];
    const Vec even1 = m1 + m2, odd1 = Vec::set1(kA) * (m1 - m2);
    const Vec even2 = m3 + m4, odd2 = Vec::set1(kB) * (m3 - m4);
    const Vec two = Vec::set1(2), half = Vec::set1(0.5f);
    t[0] = m[0] + even1 + even2;
    t[t_step] = odd1 + odd2;
    t[2 * t_step] = fma(two, even2, half * even1);
    t[3 * t_step] = fma(two, odd2, half * odd1) + m[5 * step];
  }
};

// F(2, 3), by interpolation at 0, 1, -1 and infinity: fewer multiplications are saved, but numbers of 8 bits lose a third of
// what they lose in F(4, 3).
template <>
struct Winograd<2> {
  static void input(const Vec* d, int64_t step, Vec* t, int64_t t_step) {
    const Vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    t[0] = d0 - d2;
    t[t_step] = d1 + d2;
    t[2 * t_step] = d2 - d1;
    t[3 * t_step] = d1 - d3;
  }
  static void weights(const Vec* g, int64_t step, Vec* t, int64_t t_step) {
    const Vec half = Vec::set1(0.5f), even = half * (g[0] + g[2 * step]), odd = half * g[step];
    t[0] = g[0];
    t[t_step] = even + odd;
    t[2 * t_step] = even - odd;
    t[3 * t_step] = g[2 * step];
  }
  static void output(const Vec* m, int64_t step, Vec* t, int64_t t_step) {
    const Vec m1 = m[step], m2 = m[2 * step];
    t[0] = m[0] + m1 + m2;
    t[t_step] = m1 - m2 - m[3 * step];
  }
};

}  // namespace sumi::kernels::SUMI_ISA

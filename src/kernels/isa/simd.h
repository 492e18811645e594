// A vector of floats as wide as the instruction set this copy is compiled for. Only for files in
// kernels/isa/, which are compiled once per instruction set (cmake/SumiFolders.cmake).
//
// All loops that use Vec give each output element the same operations in the same order wherever it lies in a
// vector, so results do not depend on how work is cut.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

// g++ 12 warns of its own header's deliberately undefined registers (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#if defined(SUMI_EMULATE_AVX512)
#include "kernels/emulated_avx512.h"  // in tests/: AVX-512 on any machine
#elif defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) || defined(SUMI_EMULATE_AVX512)
#define SUMI_AVX512 1
#elif defined(__AVX2__)
#define SUMI_AVX2 1
#endif
#if defined(__AVX512VNNI__) || defined(SUMI_EMULATE_BF16)
#define SUMI_VNNI 1
#endif
#if defined(__AVX512BF16__) || defined(SUMI_EMULATE_BF16)
#define SUMI_BF16_DOT 1  // has instructions that multiply pairs of bf16
#endif
#if defined(SUMI_VNNI)
#define SUMI_BF16 1  // has kernels for bf16: without those instructions, two multiply-adds of floats for a pair
#endif

namespace sumi::kernels::SUMI_ISA {

#if defined(SUMI_AVX512)
struct Vec {
  static constexpr int kWidth = 16;
  __m512 v;
  static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vec set1(float x) { return {_mm512_set1_ps(x)}; }
  static Vec zero() { return {_mm512_setzero_ps()}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
};
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, 0)}; }
// x > 0 ? a : b in each lane.
inline Vec select_positive(Vec x, Vec a, Vec b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_GT_OQ), b.v, a.v)};
}
// 2^n for integral n in [-126, 127].
inline Vec exp2_integral(Vec n) {
  const __m512i e = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(e, 23))};
}
#elif defined(SUMI_AVX2)
struct Vec {
  static constexpr int kWidth = 8;
  __m256 v;
  static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vec set1(float x) { return {_mm256_set1_ps(x)}; }
  static Vec zero() { return {_mm256_setzero_ps()}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
};
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
inline Vec round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec select_positive(Vec x, Vec a, Vec b) {
  return {_mm256_blendv_ps(b.v, a.v, _mm256_cmp_ps(x.v, _mm256_setzero_ps(), _CMP_GT_OQ))};
}
inline Vec exp2_integral(Vec n) {
  const __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(e, 23))};
}
#else
// Eight floats in an array: loops the compiler turns into whatever the baseline has.
struct Vec {
  static constexpr int kWidth = 8;
  float v[kWidth];
  static Vec load(const float* p) {
    Vec r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
  }
  static Vec set1(float x) {
    Vec r;
    for (float& e : r.v) e = x;
    return r;
  }
  static Vec zero() { return set1(0); }
  void store(float* p) const { std::memcpy(p, v, sizeof v); }
};
#define SUMI_LANES(expression)                          \
  Vec r;                                                \
  for (int i = 0; i < Vec::kWidth; ++i) r.v[i] = expression; \
  return r
inline Vec operator+(Vec a, Vec b) { SUMI_LANES(a.v[i] + b.v[i]); }
inline Vec operator-(Vec a, Vec b) { SUMI_LANES(a.v[i] - b.v[i]); }
inline Vec operator*(Vec a, Vec b) { SUMI_LANES(a.v[i] * b.v[i]); }
inline Vec operator/(Vec a, Vec b) { SUMI_LANES(a.v[i] / b.v[i]); }
inline Vec fma(Vec a, Vec b, Vec c) { SUMI_LANES(a.v[i] * b.v[i] + c.v[i]); }
inline Vec max(Vec a, Vec b) { SUMI_LANES(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
inline Vec min(Vec a, Vec b) { SUMI_LANES(a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
inline Vec sqrt(Vec a) { SUMI_LANES(std::sqrt(a.v[i])); }
inline Vec round(Vec a) { SUMI_LANES(std::nearbyint(a.v[i])); }
inline Vec select_positive(Vec x, Vec a, Vec b) { SUMI_LANES(x.v[i] > 0 ? a.v[i] : b.v[i]); }
inline Vec exp2_integral(Vec n) {
  SUMI_LANES(std::bit_cast<float>((static_cast<int32_t>(n.v[i]) + 127) << 23));
}
#undef SUMI_LANES
#endif

inline Vec absolute(Vec x) { return max(x, Vec::zero() - x); }

// The first `count` lanes from p, the rest zero.
inline Vec load_partial(const float* p, int64_t count) {
#if defined(SUMI_AVX512)
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p)};
#else
  float buffer[Vec::kWidth] = {};
  std::memcpy(buffer, p, static_cast<size_t>(count) * sizeof(float));
  return Vec::load(buffer);
#endif
}
inline void store_partial(Vec a, float* p, int64_t count) {
#if defined(SUMI_AVX512)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), a.v);
#else
  float buffer[Vec::kWidth];
  a.store(buffer);
  std::memcpy(p, buffer, static_cast<size_t>(count) * sizeof(float));
#endif
}

// Sum and maximum of the lanes, always in the same order.
inline float sum_lanes(Vec a) {
#if defined(SUMI_AVX512)
  return _mm512_reduce_add_ps(a.v);
#else
  float lane[Vec::kWidth];
  a.store(lane);
  for (int width = Vec::kWidth / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
#endif
}
inline float max_lanes(Vec a) {
#if defined(SUMI_AVX512)
  return _mm512_reduce_max_ps(a.v);
#else
  float lane[Vec::kWidth];
  a.store(lane);
  for (int width = Vec::kWidth / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lane[i] = lane[i] > lane[i + width] ? lane[i] : lane[i + width];
  return lane[0];
#endif
}

// e^x: Cody-Waite reduction by ln 2 in two parts and a degree-6 polynomial (Taylor, on |r| <= ln(2)/2:
// error below 2 units in the last place). Below -87.3 gives about 1e-38, above 88.3 about 2e38: callers that
// need exact 0 or infinity at the ends handle them. NaN stays NaN (max and min give the second operand).
inline Vec exp(Vec x) {
  x = max(Vec::set1(-87.3f), min(Vec::set1(88.3f), x));
  const Vec n = round(x * Vec::set1(1.44269504f));
  Vec r = fma(n, Vec::set1(-0.693359375f), x);
  r = fma(n, Vec::set1(2.12194440e-4f), r);
  Vec p = Vec::set1(1.0f / 720);
  p = fma(p, r, Vec::set1(1.0f / 120));
  p = fma(p, r, Vec::set1(1.0f / 24));
  p = fma(p, r, Vec::set1(1.0f / 6));
  p = fma(p, r, Vec::set1(0.5f));
  p = fma(p, r, Vec::set1(1.0f));
  p = fma(p, r, Vec::set1(1.0f));
  return p * exp2_integral(n);
}

inline Vec sigmoid(Vec x) {
  const Vec one = Vec::set1(1);
  return one / (one + exp(Vec::zero() - x));
}

}  // namespace sumi::kernels::SUMI_ISA

// Products of pairs of bf16: to each f32 lane, both products of a pair are added. With AVX-512 BF16 by its instruction;
// elsewhere by multiply-adds of floats, the even number of a pair first, which are exact products, too.
#pragma once

#include "kernels/isa/simd_int.h"

namespace sumi::kernels::SUMI_ISA {

// sum[r][v] += the number at x + r * stride, spread to all lanes, times w[v].
template <int kRows, int kVectors>
inline __attribute__((always_inline)) void add_spread(const float* x, int64_t stride, const Vec (&w)[kVectors],
                                                      Vec (&sum)[kRows][kVectors]) {
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const Vec spread = Vec::set1(x[r * stride]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = fma(w[v], spread, sum[r][v]);
  }
}

#if defined(SUMI_BF16)

// The factor of which a pair at a time is spread to all lanes: as it is, or as floats, which multiply-adds spread as they
// read them. Number i of it lies at place i in both.
#if defined(SUMI_BF16_DOT)
using Spread = uint16_t;

inline Vec dot_bf16(Vec sum, Register a, Register b) {
  __m512bh x, y;
  std::memcpy(&x, &a, sizeof x);
  std::memcpy(&y, &b, sizeof y);
  return {_mm512_dpbf16_ps(sum.v, x, y)};
}
#else
using Spread = float;
#endif

// Rounds a factor. count: any.
inline void spread_from_floats(const float* x, int64_t count, Spread* to) {
#if defined(SUMI_BF16_DOT)
  bf16_from_floats(x, count, to);
#else
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) rounded_to_bf16(Vec::load(x + i)).store(to + i);
  for (; i < count; ++i) to[i] = base::bf16_to_float(base::float_to_bf16(x[i]));
#endif
}

// kRows rows of kCount numbers in bf16 (a multiple of 16), `stride` apart, to be read by add_pairs.
template <int kRows, int kCount>
class SpreadRows {
 public:
#if defined(SUMI_BF16_DOT)
  SpreadRows(const uint16_t* from, int64_t stride) : from_(from), stride_(stride) {}
  const Spread* at(int64_t i) const { return from_ + i; }
  int64_t stride() const { return stride_; }

 private:
  const uint16_t* from_;
  int64_t stride_;
#else
  SpreadRows(const uint16_t* from, int64_t stride) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
      for (int i = 0; i < kCount; i += 16) load_bf16(from + r * stride + i).store(numbers_ + r * kCount + i);
  }
  const Spread* at(int64_t i) const { return numbers_ + i; }
  static constexpr int64_t stride() { return kCount; }

 private:
  alignas(64) float numbers_[kRows * kCount];
#endif
};

// sum[r][v] += the pair at x + r * stride, spread to all lanes, times the pairs at w[v].
template <int kRows, int kVectors>
inline __attribute__((always_inline)) void add_pairs(const Spread* x, int64_t stride, const void* const (&w)[kVectors],
                                                     Vec (&sum)[kRows][kVectors]) {
#if defined(SUMI_BF16_DOT)
  Register pairs[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) pairs[v] = load_bytes(w[v]);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const Register both = splat_group(x + r * stride);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = dot_bf16(sum[r][v], both, pairs[v]);
  }
#else
  Vec numbers[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) numbers[v] = even_of_pairs(w[v]);
  add_spread(x, stride, numbers, sum);
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) numbers[v] = odd_of_pairs(w[v]);
  add_spread(x + 1, stride, numbers, sum);
#endif
}
#endif

}  // namespace sumi::kernels::SUMI_ISA

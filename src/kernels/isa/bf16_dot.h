// Products of pairs of bf16 (AVX-512 BF16): to each f32 lane, both products of a pair are added.
#pragma once

#include "kernels/isa/simd_int.h"

#if defined(SUMI_BF16)
namespace sumi::kernels::SUMI_ISA {

inline __m512bh as_bf16(Register a) {
  __m512bh r;
  std::memcpy(&r, &a, sizeof r);
  return r;
}

// The pair at p in every lane.
inline Register splat_pair(const uint16_t* p) {
  int32_t two;
  std::memcpy(&two, p, 4);
  return splat32(two);
}

inline Vec dot_bf16(Register a, Register b, Vec sum) { return {_mm512_dpbf16_ps(sum.v, as_bf16(a), as_bf16(b))}; }

}  // namespace sumi::kernels::SUMI_ISA
#endif

// Products of pairs of bf16 (AVX-512 BF16): to each f32 lane, both products of a pair are added.
#pragma once

#include "kernels/isa/simd_int.h"

#if defined(SUMI_BF16)
namespace sumi::kernels::SUMI_ISA {

inline Vec dot_bf16(Vec sum, Register a, Register b) {
  __m512bh x, y;
  std::memcpy(&x, &a, sizeof x);
  std::memcpy(&y, &b, sizeof y);
  return {_mm512_dpbf16_ps(sum.v, x, y)};
}

}  // namespace sumi::kernels::SUMI_ISA
#endif

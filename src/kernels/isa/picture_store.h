// Numbers of pictures, f32 or bf16, to and from vectors. For copies with kernels for bf16.
#pragma once

#include "kernels/isa/bf16_store.h"
#include "kernels/isa/simd_int.h"
#include "kernels/picture_tiles.h"

#if defined(SUMI_BF16)
namespace sumi::kernels::SUMI_ISA {

inline Vec load_number(const void* p, bool bf16, int64_t i) {
  return bf16 ? load_bf16(static_cast<const uint16_t*>(p) + i) : Vec::load(static_cast<const float*>(p) + i);
}

// 32 results after their bias, as y's elements from `at` on.
inline void store_pair(const TileEpilogue& epilogue, TileOutput to, Vec first, Vec second, int64_t at) {
  if (epilogue.silu) {
    first = first * sigmoid(first);
    second = second * sigmoid(second);
  }
  if (epilogue.residual) {
    first = first + load_number(epilogue.residual, to.bf16, at);
    second = second + load_number(epilogue.residual, to.bf16, at + Vec::kWidth);
  }
  if (to.bf16) {
    store_bf16(first, second, static_cast<uint16_t*>(to.data) + at);
  } else {
    float* y = static_cast<float*>(to.data) + at;
    first.store(y);
    second.store(y + Vec::kWidth);
  }
}

}  // namespace sumi::kernels::SUMI_ISA
#endif

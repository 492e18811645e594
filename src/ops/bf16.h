// Numbers in bf16. Pictures between layers are, where the processor has tiles for it (kernels/picture_tiles.h):
// operations of picture networks give what they are given, f32 or bf16; in inference only. Training's products round
// their operands.
#pragma once

#include "tensor/tensor.h"

namespace sumi::ops {

// f32 or f16 -> bf16, rounded to the nearest; and any of them -> f32. A tensor that has the type already is given back.
Tensor narrow(const Tensor& x);
Tensor widen(const Tensor& x);
// x as f32 or bf16, as `like` is.
inline Tensor as(const Tensor& like, const Tensor& x) {
  return like.dtype() == DType::bf16 ? narrow(x) : widen(x);
}

inline bool is_bf16(const Tensor& x) { return x.defined() && x.dtype() == DType::bf16; }

}  // namespace sumi::ops

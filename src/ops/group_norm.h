// Group normalisation of pictures, alone or with the activation that follows it.
#pragma once

#include "tensor/tensor.h"

namespace sumi::ops {

// x [B, ..., C]: C channels in `groups` equal groups of neighbours; each group of each picture is
// brought to mean 0 and variance 1, then multiplied by weight [C] and moved by bias [C]
// (arXiv:1803.08494). With silu, y = silu(y). Differentiable.
Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups,
                  float eps, bool silu = false);

// The same of x + offset [B, C] (of each pixel; may be undefined). x's memory is reused if the caller gave
// up the only handle and no gradient is needed. Differentiable.
Tensor group_norm_of_sum(Tensor x, const Tensor& offset, const Tensor& weight, const Tensor& bias,
                         int64_t groups, float eps, bool silu = false);

// What group_norm_of_sum does to x (f32 or bf16) as x * scale + shift, then silu: for a layer that applies it to its
// input as it reads it (conv2d). Not differentiable.
struct GroupAffine {
  Tensor scale, shift;  // [B, C]
  bool silu = false;
};
GroupAffine group_affine(const Tensor& x, const Tensor& offset, const Tensor& weight, const Tensor& bias,
                         int64_t groups, float eps, bool silu);

}  // namespace sumi::ops

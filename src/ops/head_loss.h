// A head and its cross-entropy in one, for training in bf16.
#pragma once

#include "ops/linear.h"

namespace sumi::ops {

// cross_entropy(linear(x, weight), targets) with Products::bf16, for x [R, C], weight [V, C] (f32, f16 or bf16) and
// targets [R]. The gradient by the logits, softmax - onehot, is kept in bf16; the logits themselves live for
// rows_at_once rows at a time. Differentiable in x and weight. Throws Error as cross_entropy() does.
Tensor head_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& targets, int64_t rows_at_once);

}  // namespace sumi::ops

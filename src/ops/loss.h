// Softmax and the cross-entropy loss.
#pragma once

#include "tensor/tensor.h"

namespace sumi::ops {

inline constexpr int32_t kIgnoreIndex = -100;  // a target that does not count, as in PyTorch

Tensor softmax(const Tensor& x);  // over the last axis

// Mean over the targets that count of -log softmax(logits)[target]: logits [..., V], targets [...]
// i32
// -> [1]. Throws Error on a target outside [0, V) other than kIgnoreIndex, or if none counts.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets);

}  // namespace sumi::ops

// Elementwise arithmetic.
#pragma once

#include "tensor/tensor.h"

namespace sumi::ops {

Tensor add(const Tensor& a, const Tensor& b);  // same shape, or b's shape the last axes of a's
Tensor mul(const Tensor& a, const Tensor& b);  // same rule
Tensor scale(const Tensor& x, float factor);
Tensor softcap(const Tensor& x, float cap);  // cap tanh(x / cap); cap > 0
Tensor clamp(const Tensor& x, float limit);  // into [-limit, limit]; limit >= 0

}  // namespace sumi::ops

// Normalisation over the last axis.
#pragma once

#include "tensor/tensor.h"

namespace sumi::ops {

// (x - mean) / sqrt(var + eps) * weight + bias, arXiv:1607.06450: x [..., C], weight and bias [C];
// bias may be undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps);

// x / sqrt(mean(x^2) + eps) * (weight + offset), arXiv:1910.07467. offset is 1 for Gemma, else 0.
Tensor rms_norm(const Tensor& x, const Tensor& weight, float eps, float offset = 0);

}  // namespace sumi::ops

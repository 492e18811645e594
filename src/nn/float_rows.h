// Matrices of any stored type as floats.
#pragma once

#include "tensor/tensor.h"

namespace sumi::nn {

// Any floating or block-quantized matrix as f32 (itself, if it is).
Tensor dequantize(const Tensor& x);
// Each row of a float matrix divided by its length, in its own type.
Tensor unit_rows(const Tensor& x);

}  // namespace sumi::nn

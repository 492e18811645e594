// Products of plain matrices, in f32 or bf16, for operations that record gradients.
#pragma once

#include "kernels/onednn.h"
#include "ops/linear.h"

namespace sumi::ops {

// c = op(a) op(b) (+ c with shape.beta 1). a and b as the shape says, f32, f16 or bf16; with Products::bf16 they are
// rounded to it.
void multiply(const kernels::onednn::Matmul& shape, Products products, const Tensor& a, const Tensor& b, float* c);

// The same without beta, to c: f32 or bf16.
void multiply(const kernels::onednn::Matmul& shape, Products products, const Tensor& a, const Tensor& b, Tensor& c);

// The gradient that a leaf has so far, to which more can be added in place; else undefined.
Tensor sum_of_leaf(const Tensor& weight);

}  // namespace sumi::ops

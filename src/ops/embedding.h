// Rows of a table.
#pragma once

#include "tensor/tensor.h"

namespace sumi::ops {

// ids [...] i32, table [V, C] -> [..., C] f32. The table may be f32, f16, bf16 or block-quantized
// (rows are then dequantized; only an f32 table gets a gradient). Throws Error on an id outside [0,
// V).
Tensor embedding(const Tensor& ids, const Tensor& table);

}  // namespace sumi::ops

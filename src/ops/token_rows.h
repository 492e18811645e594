// Added tokens: rows [begin, begin + n) of an embedding's table or of a head that are a tensor of their
// own, [n, C], which may be trained while the other rows stay as they are (packed, or in the file).
#pragma once

#include "tensor/tensor.h"

namespace sumi::ops {

// ids [...] i32, table [V, C] without gradient -> [..., C]: rows of the table, and of `rows` for the ids
// in [begin, begin + n), which the table may have or lack. Differentiable with respect to `rows`.
Tensor embedding(const Tensor& ids, const Tensor& table, int64_t begin, const Tensor& rows);

// y [..., V] with its columns [begin, begin + n) replaced in place by x [..., C] rows^T.
// Differentiable.
Tensor replace_columns(const Tensor& y, int64_t begin, const Tensor& x, const Tensor& rows);

}  // namespace sumi::ops

// Views and copies that only move elements.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace sumi::ops {

Tensor reshape(const Tensor& x, Shape shape);  // shares the elements
Tensor slice_last(const Tensor& x, int64_t begin,
                  int64_t count);                      // [..., N] -> [..., count], a copy
Tensor concat_last(const std::vector<Tensor>& parts);  // equal leading axes

}  // namespace sumi::ops

// The low-rank addition of LoRA (arXiv:2106.09685), and dropout.
#pragma once

#include <cstdint>

#include "ops/linear.h"
#include "tensor/tensor.h"

namespace sumi::ops {

// scale (x Aᵀ) Bᵀ added to columns [begin, begin + N) of y: x [..., K], a [r, K], b [N, r],
// y [..., M]. The result has y's memory, which is changed in place: pass a fresh result of linear()
// that nothing else uses.
Tensor add_low_rank(const Tensor& y, int64_t begin, const Tensor& x, const Tensor& a,
                    const Tensor& b, float scale);

// The same with both packed, scale included in b; not differentiable with respect to a and b.
Tensor add_low_rank(const Tensor& y, int64_t begin, const Tensor& x, const PackedWeight& a,
                    const PackedWeight& b);

// Each element is 0 with this probability, else divided by 1 - probability. Which ones depends on
// `key` and the element's index alone.
Tensor dropout(const Tensor& x, float probability, uint64_t key);

}  // namespace sumi::ops

// Softmax and the cross-entropy loss.
#pragma once

#include <functional>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::ops {

inline constexpr int32_t kIgnoreIndex = -100;  // a target that does not count, as in PyTorch

Tensor softmax(const Tensor& x);  // over the last axis

// Mean over the targets that count of -log softmax(logits)[target]: logits [..., V], targets [...]
// i32
// -> [1]. Throws Error on a target outside [0, V) other than kIgnoreIndex, or if none counts.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets);

// The sum over rows b of weights[b] * mean((x_b - target_b)^2): x and target [B, ...] of one shape
// -> [1]. Differentiable in x; target takes no gradient.
Tensor squared_error(const Tensor& x, const Tensor& target, const std::vector<float>& weights);

// cross_entropy(logits_of(x, weights), targets) for x [R, C] and targets [R], of rows_at_once rows
// at a time, so that the logits of all rows are never in memory together. The gradients are
// computed at once, with the logits at hand, and kept until backward() asks for them. logits_of
// must compute rows independently, and reach leaves that require gradients through `weights` alone.
using LogitsOf = std::function<Tensor(const Tensor& x, const std::vector<Tensor>& weights)>;
Tensor cross_entropy_in_pieces(const LogitsOf& logits_of, const Tensor& x,
                               const std::vector<Tensor>& weights, const Tensor& targets,
                               int64_t rows_at_once);

}  // namespace sumi::ops

// Group normalisation layers.
#pragma once

#include "ops/group_norm.h"

namespace sumi::nn {

// x [B, ..., C] -> the same; with silu, the activation follows. Undefined stands for "none".
class GroupNorm {
 public:
  GroupNorm() = default;
  GroupNorm(Tensor weight, Tensor bias, int64_t groups, float eps)
      : weight_(std::move(weight)), bias_(std::move(bias)), groups_(groups), eps_(eps) {}

  bool defined() const { return weight_.defined(); }
  Tensor operator()(const Tensor& x, bool silu = false) const {
    return ops::group_norm(x, weight_, bias_, groups_, eps_, silu);
  }
  // The same of x + offset [B, C] (or undefined), in x's memory if the caller gave it up.
  Tensor of_sum(Tensor x, const Tensor& offset, bool silu) const {
    return ops::group_norm_of_sum(std::move(x), offset, weight_, bias_, groups_, eps_, silu);
  }
  // What of_sum does, for a layer that does it to its input.
  ops::GroupAffine affine(const Tensor& x, const Tensor& offset, bool silu) const {
    return ops::group_affine(x, offset, weight_, bias_, groups_, eps_, silu);
  }

 private:
  Tensor weight_, bias_;  // [C]
  int64_t groups_ = 1;
  float eps_ = 0;
};

}  // namespace sumi::nn

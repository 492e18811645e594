// Normalisation layers over the last axis.
#pragma once

#include "tensor/tensor.h"

namespace sumi::nn {

enum class NormKind { layer, rms };

// An undefined Norm (no weight) stands for "none".
class Norm {
 public:
  Norm() = default;
  // weight [C]; bias [C] or undefined (layer only); rms multiplies by weight + offset.
  Norm(NormKind kind, Tensor weight, Tensor bias, float eps, float offset = 0);

  bool defined() const { return weight_.defined(); }
  Tensor operator()(const Tensor& x) const;

 private:
  NormKind kind_ = NormKind::rms;
  Tensor weight_, bias_;
  float eps_ = 0, offset_ = 0;
};

}  // namespace sumi::nn

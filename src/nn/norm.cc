#include "nn/norm.h"

#include "ops/norm.h"

namespace sumi::nn {

Norm::Norm(NormKind kind, Tensor weight, Tensor bias, float eps, float offset)
    : kind_(kind), weight_(std::move(weight)), bias_(std::move(bias)), eps_(eps), offset_(offset) {
  if (kind_ == NormKind::rms && bias_.defined()) fail("RMS norm: a bias is given, there is none");
  if (kind_ == NormKind::layer && offset_ != 0) fail("layer norm: a weight offset is given");
}

Tensor Norm::operator()(const Tensor& x) const {
  return kind_ == NormKind::rms ? ops::rms_norm(x, weight_, eps_, offset_)
                                : ops::layer_norm(x, weight_, bias_, eps_);
}

}  // namespace sumi::nn

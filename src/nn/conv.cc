#include "nn/conv.h"

#include "ops/elementwise.h"

namespace sumi::nn {

Tensor Conv2d::operator()(const Tensor& x, Tensor residual) const {
  if (packed_) return ops::conv2d(x, *packed_, bias_, options_, std::move(residual));
  if (!weight_.defined()) fail("conv2d: the layer has no weight");
  Tensor y = ops::conv2d(x, weight_, bias_, options_);
  return residual.defined() ? ops::add(y, residual) : y;
}

}  // namespace sumi::nn

#include "nn/conv.h"

#include "ops/elementwise.h"
#include "ops/picture.h"

namespace sumi::nn {

Tensor Conv2d::operator()(const Tensor& x, Tensor residual) const {
  if (packed_) return ops::conv2d(x, *packed_, bias_, options_, std::move(residual));
  if (!weight_.defined()) fail("conv2d: the layer has no weight");
  Tensor y = ops::conv2d(x, weight_, bias_, options_, products_);
  return residual.defined() ? ops::add(y, residual) : y;
}

Tensor Conv2d::of_normed(Tensor x, const GroupNorm& norm, const Tensor& offset, bool silu, Tensor residual) const {
  if (!takes_bf16()) return (*this)(norm.of_sum(std::move(x), offset, silu), std::move(residual));
  const ops::GroupAffine before = norm.affine(x, offset, silu);
  return ops::conv2d(x, *packed_, bias_, options_, std::move(residual), &before);
}

Tensor Conv2d::of_upsampled(const Tensor& x, int64_t height, int64_t width) const {
  if (packed_ && height == 2 * x.size(1) && width == 2 * x.size(2)) {
    ops::Conv2dOptions options = options_;
    options.doubled = true;
    return ops::conv2d(x, *packed_, bias_, options);
  }
  return (*this)(ops::upsample_nearest(x, height, width));
}

}  // namespace sumi::nn

// Convolution layers.
#pragma once

#include <memory>

#include "ops/conv.h"
#include "tensor/tensor.h"

namespace sumi::nn {

// x [B, H, W, I] -> [B, H', W', O]: packed for inference, or plain and differentiable.
class Conv2d {
 public:
  Conv2d() = default;
  // weight [O, I, kh, kw], bias [O] or undefined.
  Conv2d(Tensor weight, Tensor bias, ops::Conv2dOptions options)
      : weight_(std::move(weight)), bias_(std::move(bias)), options_(options) {}
  Conv2d(std::shared_ptr<const ops::PackedConv> packed, Tensor bias, ops::Conv2dOptions options)
      : packed_(std::move(packed)), bias_(std::move(bias)), options_(options) {}

  bool defined() const { return packed_ || weight_.defined(); }
  // Plus residual, if it is defined; its memory is reused if this is its only handle.
  Tensor operator()(const Tensor& x, Tensor residual = {}) const;
  // Of x made [B, height, width, I] first, by repeating pixels (ops::upsample_nearest).
  Tensor of_upsampled(const Tensor& x, int64_t height, int64_t width) const;

 private:
  Tensor weight_;
  std::shared_ptr<const ops::PackedConv> packed_;
  Tensor bias_;
  ops::Conv2dOptions options_;
};

}  // namespace sumi::nn

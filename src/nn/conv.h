// Convolution layers.
#pragma once

#include <memory>

#include "nn/group_norm.h"
#include "ops/conv.h"
#include "tensor/tensor.h"

namespace sumi::nn {

// x [B, H, W, I] -> [B, H', W', O]: packed for inference, or plain and differentiable.
class Conv2d {
 public:
  Conv2d() = default;
  // weight [O, I, kh, kw], bias [O] or undefined.
  Conv2d(Tensor weight, Tensor bias, ops::Conv2dOptions options,
         ops::Products products = ops::Products::f32)
      : weight_(std::move(weight)), bias_(std::move(bias)), options_(options), products_(products) {}
  Conv2d(std::shared_ptr<const ops::PackedConv> packed, Tensor bias, ops::Conv2dOptions options)
      : packed_(std::move(packed)), bias_(std::move(bias)), options_(options) {}

  bool defined() const { return packed_ || weight_.defined(); }
  // Plus residual, if it is defined; its memory is reused if this is its only handle.
  Tensor operator()(const Tensor& x, Tensor residual = {}) const;
  // Of norm.of_sum(x, offset, true), which is formed as x is read where the weight is in tiles.
  Tensor of_normed(Tensor x, const GroupNorm& norm, const Tensor& offset, bool silu, Tensor residual = {}) const;
  // Whether it takes bf16 as fast as f32 or faster.
  bool takes_bf16() const { return packed_ && packed_->tiles(); }
  // Of x made [B, height, width, I] first, by repeating pixels (ops::upsample_nearest).
  Tensor of_upsampled(const Tensor& x, int64_t height, int64_t width) const;

 private:
  Tensor weight_;
  std::shared_ptr<const ops::PackedConv> packed_;
  Tensor bias_;
  ops::Conv2dOptions options_;
  ops::Products products_ = ops::Products::f32;
};

}  // namespace sumi::nn

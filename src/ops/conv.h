// Convolutions of pictures [B, H, W, C].
#pragma once

#include <memory>

#include "kernels/onednn_conv.h"
#include "tensor/tensor.h"

namespace sumi::ops {

struct Conv2dOptions {
  int64_t stride = 1;
  // Rows and columns of zeros around the picture.
  int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  bool silu = false;  // y = silu(y), fused where the weight is packed

  static Conv2dOptions padded(int64_t padding, int64_t stride = 1) {
    return {.stride = stride,
            .pad_top = padding,
            .pad_bottom = padding,
            .pad_left = padding,
            .pad_right = padding};
  }
};

// A convolution's weight in the processor's order, for inference only.
class PackedConv {
 public:
  // weight [O, I, kh, kw] f32, f16 or bf16 computes as f32, or with inputs and weights rounded to
  // bf16 and sums in f32. The order is chosen for pictures of `height` rows and as many columns;
  // it suits others, too.
  PackedConv(const Tensor& weight, kernels::onednn::ConvType type, const Conv2dOptions& options,
             int64_t height = 64);

  const Shape& shape() const { return shape_; }  // [O, I, kh, kw]
  size_t bytes() const { return weights_.bytes(); }
  const kernels::onednn::ConvWeights& weights() const { return weights_; }

 private:
  Shape shape_;
  kernels::onednn::ConvWeights weights_;
};

// x [B, H, W, I], weight [O, I, kh, kw] f32, bias [O] or undefined -> [B, H', W', O], H' = (H + pads
// - kh) / stride + 1. Differentiable.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv2dOptions& options);

// The same with a packed weight, not differentiable: throws Error if a gradient would be needed.
// If `residual` (the result's shape) is defined, it is added; its memory is reused when nothing
// else holds it.
Tensor conv2d(const Tensor& x, const PackedConv& weight, const Tensor& bias,
              const Conv2dOptions& options, Tensor residual = {});

// x [..., K] times a packed 1x1 convolution's weight [N, K, 1, 1]: [..., N]. For pictures' many
// rows.
Tensor linear(const Tensor& x, const PackedConv& weight, const Tensor& bias, Tensor residual = {});

}  // namespace sumi::ops

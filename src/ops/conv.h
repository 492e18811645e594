// Convolutions of pictures [B, H, W, C].
#pragma once

#include <memory>
#include <optional>

#include "kernels/lane_product.h"
#include "kernels/onednn_conv.h"
#include "kernels/picture_tiles.h"
#include "ops/group_norm.h"
#include "ops/linear.h"
#include "tensor/tensor.h"

namespace sumi::ops {

struct Conv2dOptions {
  int64_t stride = 1;
  // Rows and columns of zeros around the picture.
  int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  bool silu = false;  // y = silu(y), fused where the weight is packed
  // The convolution of x made twice as high and wide by repeating its pixels; of packed weights only.
  bool doubled = false;

  static Conv2dOptions padded(int64_t padding, int64_t stride = 1) {
    return {.stride = stride,
            .pad_top = padding,
            .pad_bottom = padding,
            .pad_left = padding,
            .pad_right = padding};
  }
};

// What packed weights take: four bytes, two, or one and a scale for each output channel. With int8, inputs are rounded to
// one byte, too, from AVX-512 VNNI on; with int8_weights they never are.
enum class ConvStorage { f32, bf16, f16, int8, int8_weights };

// A convolution's weight in the processor's order, for inference only. 1x1 and padded 3x3
// convolutions of multiples of 64 channels go through kernels/lane_product.h, the others through
// oneDNN; from AVX-512 VNNI on, those of bf16 or int8 and multiples of 32 channels go
// through kernels/picture_tiles.h. Sums are f32.
class PackedConv {
 public:
  // weight [O, I, kh, kw] f32, f16 or bf16. Where oneDNN multiplies bf16, f16 becomes bf16;
  // otherwise oneDNN's weights take four bytes (rounded to bf16 first, if that is the storage). Its
  // order is chosen for pictures of `height` rows and as many columns; it suits others, too.
  // gated (1x1 of bf16 where can_gate() says so): the outputs are values and then as many gates, and
  // the result is value * gelu(gate), O / 2 channels.
  PackedConv(const Tensor& weight, ConvStorage storage, const Conv2dOptions& options,
             int64_t height = 64, bool gated = false);
  static bool can_gate(const Shape& weight, ConvStorage storage);

  const Shape& shape() const { return shape_; }  // [O, I, kh, kw]
  size_t bytes() const;
  // One of the three.
  const std::optional<kernels::LaneWeights>& lanes() const { return lanes_; }
  const std::optional<kernels::onednn::ConvWeights>& onednn() const { return onednn_; }
  const std::optional<kernels::TileWeights>& tiles() const { return tiles_; }
  bool gated() const { return tiles_ && tiles_->gated; }

 private:
  Shape shape_;
  std::optional<kernels::LaneWeights> lanes_;
  std::optional<kernels::onednn::ConvWeights> onednn_;
  std::optional<kernels::TileWeights> tiles_;
};

// x [B, H, W, I], weight [O, I, kh, kw] (f32, f16 or bf16), bias [O] or undefined -> [B, H', W', O], H' =
// (H + pads - kh) / stride + 1. Differentiable.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv2dOptions& options, Products products = Products::f32);

// The same with a packed weight, not differentiable: throws Error if a gradient would be needed.
// x is f32 or bf16, the result and `residual` are as x is. If `residual` (the result's shape) is
// defined, it is added; its memory is reused when nothing else holds it. `before`, if not null, is
// done to x as it is read: of weights in tiles only.
Tensor conv2d(const Tensor& x, const PackedConv& weight, const Tensor& bias,
              const Conv2dOptions& options, Tensor residual = {}, const GroupAffine* before = nullptr);

// x [..., K] times a packed 1x1 convolution's weight [N, K, 1, 1]: [..., N]. For pictures' many
// rows.
Tensor linear(const Tensor& x, const PackedConv& weight, const Tensor& bias, Tensor residual = {});

}  // namespace sumi::ops

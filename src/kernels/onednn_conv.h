// Convolutions of pictures through oneDNN, releases 2.x and 3.x: forward and both gradients.
// Pictures are NHWC, [batch, height, width, channels]; plain weights are as in PyTorch's
// checkpoints, [out_channels, in_channels, kernel_height, kernel_width].
//
// Generated code is kept per shape. All functions use all threads, or one inside a parallel region,
// and throw Error if oneDNN reports one.
#pragma once

#include <cstdint>
#include <memory>

namespace sumi::kernels::onednn {

struct Conv2d {
  int64_t batch = 0, height = 0, width = 0;  // of the input
  int64_t in_channels = 0, out_channels = 0;
  int64_t kernel_height = 1, kernel_width = 1;
  int64_t stride = 1;
  int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;  // with zeros

  int64_t out_height() const {
    return (height + pad_top + pad_bottom - kernel_height) / stride + 1;
  }
  int64_t out_width() const { return (width + pad_left + pad_right - kernel_width) / stride + 1; }
  int64_t weight_count() const {
    return out_channels * in_channels * kernel_height * kernel_width;
  }
};

enum class ConvType {
  f32,
  bf16,  // inputs and weights rounded to bf16, sums in f32
};

struct ConvEpilogue {
  bool silu = false;        // y = silu(y) after the bias
  bool accumulate = false;  // y += what y held, after the bias
};

// Weights in the order that the processor's code reads them; for inference.
class ConvWeights {
 public:
  // weights are plain; `typical` is the shape whose code chooses the order (another shape may make
  // a call reorder them again, once).
  ConvWeights(const float* weights, const Conv2d& typical, ConvType type);
  ~ConvWeights();
  ConvWeights(ConvWeights&&) noexcept;
  ConvWeights& operator=(ConvWeights&&) noexcept;

  ConvType type() const;
  size_t bytes() const;

  struct Data;
  Data& data() const { return *data_; }

 private:
  std::unique_ptr<Data> data_;
};

// y [batch, out_height, out_width, out_channels] f32 = convolution of x, plus bias (if not null), then
// the epilogue. x is f32, or bf16 bits for weights of ConvType::bf16. Not for two threads at once
// with the same weights.
void convolve(const Conv2d& shape, const void* x, const ConvWeights& weights, const float* bias,
              ConvEpilogue epilogue, float* y);

// For training: operands as plain numbers of one type, f32 or bf16 bits; sums and results are f32.
// y, without an epilogue.
void convolve(const Conv2d& shape, ConvType type, const void* x, const void* weights, const float* bias,
              float* y);

// dx = the gradient by x, given dy [batch, out_height, out_width, out_channels].
void convolve_backward_data(const Conv2d& shape, ConvType type, const void* dy, const void* weights,
                            float* dx);

// dweights (plain). `type` must be weights_gradient_type(shape, type).
void convolve_backward_weights(const Conv2d& shape, ConvType type, const void* x, const void* dy,
                               float* dweights);

// The type that the gradient by the weights is computed in where `type` is wanted: f32 instead of bf16 for pictures
// wider than 256. oneDNN 2.6.3's bf16 code for AMX (jit:avx512_core_amx_bf16), alone in a program and with each buffer
// between inaccessible pages, reads the weights' gradient 3072 bytes before its beginning for 3x3 kernels of stride 1
// on rows of 368 to 640 pixels, and does not end on rows of 768 and 1024; up to 352 it keeps within its buffers.
ConvType weights_gradient_type(const Conv2d& shape, ConvType type);

// Whether oneDNN has bf16 convolutions for this processor.
bool convolves_bf16();

// The name of oneDNN's implementation for a shape, for reports, e.g. "brgconv:avx512_core".
const char* convolution_name(const Conv2d& shape, ConvType type);

}  // namespace sumi::kernels::onednn

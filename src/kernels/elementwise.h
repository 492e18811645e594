// Loops over one row or one range of floats: arithmetic, activations, norms, softmax, rotary
// embedding and their derivatives. One copy per instruction set; each gives an element the same
// operations in the same order whatever the range it is part of, so results do not depend on rows
// or threads.
//
// Unless said otherwise, out may be the same array as an input, but may not partly overlap it.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

enum class Activation {
  identity,
  relu,
  gelu,        // x Phi(x), by erf
  gelu_tanh,   // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), arXiv:1606.08415
  gelu_quick,  // x sigmoid(1.702 x)
  silu,        // x sigmoid(x)
  sigmoid,
  relu_squared,
};

struct NormStatistics {
  float mean, inverse;  // inverse of the standard deviation or of the root mean square
};

struct ElementwiseKernels {
  // out = a + b, a * b, factor * x; out += x, out += a * b, out += factor * x.
  void (*add)(const float* a, const float* b, float* out, int64_t n);
  void (*mul)(const float* a, const float* b, float* out, int64_t n);
  void (*scale)(const float* x, float factor, float* out, int64_t n);
  void (*accumulate)(const float* x, float* out, int64_t n);
  void (*accumulate_product)(const float* a, const float* b, float* out, int64_t n);
  void (*accumulate_scaled)(const float* x, float factor, float* out, int64_t n);
  float (*dot)(const float* a, const float* b, int64_t n);
  float (*maximum)(const float* x, int64_t n);  // n > 0

  // out = min(max(x, -limit), limit), and dx = dy where x is inside, else 0.
  void (*clamp)(const float* x, float limit, float* out, int64_t n);
  void (*clamp_backward)(const float* x, float limit, const float* dy, float* dx, int64_t n);

  // out = cap tanh(x / cap), and dx = dy (1 - (y / cap)^2) from the output y.
  void (*softcap)(const float* x, float cap, float* out, int64_t n);
  void (*softcap_backward)(const float* y, float cap, const float* dy, float* dx, int64_t n);

  void (*activation)(Activation kind, const float* x, float* out, int64_t n);
  void (*activation_backward)(Activation kind, const float* x, const float* dy, float* dx,
                              int64_t n);
  // out = activation(gate) * up. dgate may be gate and dup may be up.
  void (*gated)(Activation kind, const float* gate, const float* up, float* out, int64_t n);
  void (*gated_backward)(Activation kind, const float* gate, const float* up, const float* dy,
                         float* dgate, float* dup, int64_t n);

  // A row of n. bias may be null.
  NormStatistics (*layer_norm)(const float* x, const float* weight, const float* bias, float eps,
                               float* out, int64_t n);
  void (*layer_norm_backward)(const float* x, const float* weight, const float* dy,
                              NormStatistics statistics, float* dx, int64_t n);
  // weight + offset multiplies.
  NormStatistics (*rms_norm)(const float* x, const float* weight, float offset, float eps,
                             float* out, int64_t n);
  void (*rms_norm_backward)(const float* x, const float* weight, float offset, const float* dy,
                            NormStatistics statistics, float* dx, int64_t n);
  // dweight += dy (x - mean) inverse: one row's share, on any range of columns. Both norms.
  void (*norm_backward_weight)(const float* x, const float* dy, NormStatistics statistics,
                               float* dweight, int64_t n);

  void (*softmax)(const float* x, float* out, int64_t n);
  void (*softmax_backward)(const float* y, const float* dy, float* dx, int64_t n);
  // The same where the sum of y dy is known: dx = y (dy - sum) factor.
  void (*softmax_backward_part)(const float* y, const float* dy, float sum, float factor, float* dx, int64_t n);
  float (*log_sum_exp)(const float* x, int64_t n);
  // out = exp(x - shift), 0 where that is below e^-87; returns the sum.
  float (*exp_sum)(const float* x, float shift, float* out, int64_t n);
  // out = factor * exp(x - shift)
  void (*exp_scaled)(const float* x, float shift, float factor, float* out, int64_t n);

  // Turns pairs (x[i], x[i + half]) or (x[2i], x[2i + 1]) by the angle whose cosine and sine
  // are cosine[i], sine[i], i < half. The inverse turn is the same with the sine negated.
  void (*rope_halves)(const float* x, const float* cosine, const float* sine, float* out,
                      int64_t half);
  void (*rope_neighbours)(const float* x, const float* cosine, const float* sine, float* out,
                          int64_t half);

  // Numbers rounded to bf16 (to the nearest, ties to even), and back.
  void (*narrow)(const float* x, uint16_t* out, int64_t n);
  void (*widen)(const uint16_t* x, float* out, int64_t n);
};

// The copy for base::active_isa(), and for a given one, which must be in runnable_isas() to be
// called.
const ElementwiseKernels& elementwise_kernels();
const ElementwiseKernels& elementwise_kernels_for(base::Isa isa);

}  // namespace sumi::kernels

// The plain twins of the fast kernels: one loop each, sums in double, written from the formula.
// Tests compare the fast kernels with them; nothing else calls them.
#pragma once

#include <cstdint>

#include "kernels/elementwise.h"
#include "kernels/onednn_conv.h"
#include "kernels/wkv.h"

namespace sumi::kernels::naive {

double activation(Activation kind, double x);
double activation_slope(Activation kind, double x);  // the derivative

void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* out,
                int64_t n);
// dweight and dbias are added to.
void layer_norm_backward(const float* x, const float* weight, float eps, const float* dy, float* dx,
                         float* dweight, float* dbias, int64_t n);
void rms_norm(const float* x, const float* weight, float offset, float eps, float* out, int64_t n);
void rms_norm_backward(const float* x, const float* weight, float offset, float eps,
                       const float* dy, float* dx, float* dweight, int64_t n);

void softmax(const float* x, float* out, int64_t n);
void softmax_backward(const float* y, const float* dy, float* dx, int64_t n);
double log_sum_exp(const float* x, int64_t n);

// c [m, n] = alpha op(a) op(b) + beta c, as in kernels/onednn.h.
void matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
            const float* a, const float* b, float beta, float* c);

// Scaled dot-product attention of one head: q [T, D], k and v [S, D] -> out [T, D]; rows are
// contiguous. bias [T, S] is added to the scaled (and capped, if softcap > 0) scores; -infinity
// hides a key.
struct Attention {
  int64_t queries, keys, size;
  float scale, softcap;
  const float* bias;
};
void attention(const Attention& shape, const float* q, const float* k, const float* v, float* out);
// dq, dk and dv are added to.
void attention_backward(const Attention& shape, const float* q, const float* k, const float* v,
                        const float* dy, float* dq, float* dk, float* dv);

// Convolution of kernels/onednn_conv.h: x [B, H, W, I], weights [O, I, kh, kw], bias [O] or null -> y.
void convolve(const onednn::Conv2d& shape, const float* x, const float* weights, const float* bias,
              float* y);
// dx, dweights and dbias are added to.
void convolve_backward(const onednn::Conv2d& shape, const float* x, const float* weights,
                       const float* dy, float* dx, float* dweights, float* dbias);

// One picture x [rows, C] in groups of neighbouring channels.
void group_norm(const float* x, const float* weight, const float* bias, int64_t rows,
                int64_t channels, int64_t groups, double eps, bool silu, float* y);

// kernels/wkv.h; the backward uses no scratch.
void wkv(const WkvArgs& args);
void wkv_backward(const WkvBackwardArgs& args);

}  // namespace sumi::kernels::naive

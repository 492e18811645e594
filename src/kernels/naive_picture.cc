// The plain twins of the picture kernels.
#include <cmath>

#include "kernels/naive.h"

namespace sumi::kernels::naive {
namespace {

// body(x index, weight index, y index) for each product of a convolution.
template <class Body>
void for_products(const onednn::Conv2d& s, const Body& body) {
  const int64_t height = s.out_height(), width = s.out_width();
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j)
        for (int64_t u = 0; u < s.kernel_height; ++u)
          for (int64_t v = 0; v < s.kernel_width; ++v) {
            const int64_t row = i * s.stride + u - s.pad_top;
            const int64_t column = j * s.stride + v - s.pad_left;
            if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
            for (int64_t o = 0; o < s.out_channels; ++o)
              for (int64_t c = 0; c < s.in_channels; ++c)
                body(((b * s.height + row) * s.width + column) * s.in_channels + c,
                     ((o * s.in_channels + c) * s.kernel_height + u) * s.kernel_width + v,
                     ((b * height + i) * width + j) * s.out_channels + o);
          }
}

}  // namespace

void convolve(const onednn::Conv2d& s, const float* x, const float* weights, const float* bias,
              float* y) {
  const int64_t pixels = s.batch * s.out_height() * s.out_width();
  for (int64_t i = 0; i < pixels * s.out_channels; ++i) y[i] = bias ? bias[i % s.out_channels] : 0;
  for_products(s, [&](int64_t a, int64_t w, int64_t out) { y[out] += x[a] * weights[w]; });
}

void convolve_backward(const onednn::Conv2d& s, const float* x, const float* weights,
                       const float* dy, float* dx, float* dweights, float* dbias) {
  const int64_t pixels = s.batch * s.out_height() * s.out_width();
  for (int64_t i = 0; i < pixels * s.out_channels; ++i) dbias[i % s.out_channels] += dy[i];
  for_products(s, [&](int64_t a, int64_t w, int64_t out) {
    dx[a] += dy[out] * weights[w];
    dweights[w] += dy[out] * x[a];
  });
}

void group_norm(const float* x, const float* weight, const float* bias, int64_t rows,
                int64_t channels, int64_t groups, double eps, bool silu, float* y) {
  const int64_t size = channels / groups;
  for (int64_t g = 0; g < groups; ++g) {
    double mean = 0, variance = 0;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = g * size; c < (g + 1) * size; ++c) mean += x[r * channels + c];
    mean /= static_cast<double>(rows * size);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        const double d = x[r * channels + c] - mean;
        variance += d * d;
      }
    variance /= static_cast<double>(rows * size);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        const double z =
            (x[r * channels + c] - mean) / std::sqrt(variance + eps) * weight[c] + bias[c];
        y[r * channels + c] = static_cast<float>(silu ? z / (1 + std::exp(-z)) : z);
      }
  }
}

}  // namespace sumi::kernels::naive

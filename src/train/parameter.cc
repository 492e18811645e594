#include "train/parameter.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernels/elementwise.h"
#include "tensor/autograd.h"
#include "train/gradient.h"

namespace sumi::train {
namespace {

constexpr int64_t kPiece = 65536;  // elements whose squares are summed together, in a fixed order

// Part by part, so that those of bf16 are widened in the first cache.
float sum_of_squares(const Gradient& x, int64_t begin, int64_t end) {
  constexpr int64_t kPart = 4096;
  float wide[kPart], sum = 0;
  for (int64_t i = begin; i < end; i += kPart) {
    const int64_t count = std::min(kPart, end - i);
    const float* part = x.read(i, count, wide);
    sum += kernels::elementwise_kernels().dot(part, part, count);
  }
  return sum;
}

double sum_of_squares(const Tensor& x) {
  const Gradient gradient(x, 1);
  const int64_t pieces = (x.numel() + kPiece - 1) / kPiece;
  std::vector<float> sums(static_cast<size_t>(pieces));
  base::parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      sums[static_cast<size_t>(i)] = sum_of_squares(gradient, i * kPiece, std::min(x.numel(), (i + 1) * kPiece));
  });
  double total = 0;
  for (const float sum : sums) total += sum;
  return total;
}

}  // namespace

int64_t count_weights(const std::vector<Parameter>& parameters) {
  int64_t total = 0;
  for (const Parameter& parameter : parameters) total += parameter.value.numel();
  return total;
}

double gradient_norm(const std::vector<Parameter>& parameters) {
  double total = 0;
  for (const Parameter& parameter : parameters) {
    const Tensor grad = parameter.value.grad();
    if (grad.defined()) total += sum_of_squares(grad.dtype() == DType::bf16 ? grad : grad.to(DType::f32));
  }
  return std::sqrt(total);
}

double clip_factor(double norm, double max_norm) {
  const double factor = max_norm > 0 ? max_norm / (norm + 1e-6) : 1;
  return factor < 1 ? factor : 1;  // also of norms that are not finite
}

void clear_gradients(std::vector<Parameter>& parameters) {
  for (Parameter& parameter : parameters) parameter.value.set_grad({});
}

void decay_matrices_only(std::vector<Parameter>& parameters) {
  for (Parameter& parameter : parameters) parameter.decays = parameter.value.dim() >= 2;
}

}  // namespace sumi::train

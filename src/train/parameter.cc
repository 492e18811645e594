#include "train/parameter.h"

#include <cmath>

#include "base/threads.h"
#include "kernels/elementwise.h"
#include "tensor/autograd.h"

namespace sumi::train {
namespace {

constexpr int64_t kPiece = 65536;  // elements whose squares are summed together, in a fixed order

double sum_of_squares(const Tensor& x) {
  const int64_t pieces = (x.numel() + kPiece - 1) / kPiece;
  std::vector<float> sums(static_cast<size_t>(pieces));
  const float* values = x.f32();
  base::parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* piece = values + i * kPiece;
      sums[static_cast<size_t>(i)] = kernels::elementwise_kernels().dot(
          piece, piece, std::min(kPiece, x.numel() - i * kPiece));
    }
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
  for (const Parameter& parameter : parameters)
    if (const Tensor grad = parameter.value.grad(); grad.defined()) total += sum_of_squares(grad);
  return std::sqrt(total);
}

double clip_gradients(std::vector<Parameter>& parameters, double max_norm) {
  const double norm = gradient_norm(parameters);
  const double factor = max_norm > 0 ? max_norm / (norm + 1e-6) : 1;
  if (!(factor < 1)) return norm;
  for (Parameter& parameter : parameters) {
    Tensor grad = parameter.value.grad();
    if (!grad.defined()) continue;
    float* g = grad.f32();
    base::parallel_for(grad.numel(), 32768, [&](int64_t begin, int64_t end) {
      kernels::elementwise_kernels().scale(g + begin, static_cast<float>(factor), g + begin,
                                           end - begin);
    });
  }
  return norm;
}

void clear_gradients(std::vector<Parameter>& parameters) {
  for (Parameter& parameter : parameters) parameter.value.set_grad({});
}

void decay_matrices_only(std::vector<Parameter>& parameters) {
  for (Parameter& parameter : parameters) parameter.decays = parameter.value.dim() >= 2;
}

}  // namespace sumi::train

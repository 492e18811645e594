// Adafactor, arXiv:1804.04235, as transformers.Adafactor(scale_parameter=False,
// relative_step=False, beta1=None) computes it: of a matrix, only row and column means of the
// squared gradients are kept.
#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernels/elementwise.h"
#include "train/optimizer.h"

namespace sumi::train {
namespace {

constexpr double kEps = 1e-30, kClipThreshold = 1, kDecayRate = -0.8;
constexpr int64_t kGrain = 32768;

class Adafactor : public UpdateRule {
 public:
  ParameterState initial_state(const Tensor& parameter) const override {
    if (parameter.dim() < 2) return {{"exp_avg_sq", Tensor::zeros(parameter.shape())}};
    Shape rows = parameter.shape(), columns = parameter.shape();
    rows.pop_back();
    columns.erase(columns.end() - 2);
    return {{"exp_avg_sq_row", Tensor::zeros(rows)}, {"exp_avg_sq_col", Tensor::zeros(columns)}};
  }

  void update(Tensor& parameter, const Gradient& given, ParameterState& state,
              double learning_rate, double weight_decay, int64_t step) const override {
    const Tensor gradient = given.whole();
    const auto keep = static_cast<float>(1 - std::pow(static_cast<double>(step), kDecayRate));
    Tensor change = Tensor::empty(parameter.shape());
    if (parameter.dim() < 2)
      whole(gradient, keep, state[0].second, change);
    else
      factored(gradient, keep, state[0].second, state[1].second, change);
    double squares = 0;
    const int64_t n = change.numel();
    float* u = change.f32();
    for (int64_t begin = 0; begin < n; begin += kGrain)
      squares += double{kernels::elementwise_kernels().dot(u + begin, u + begin,
                                                           std::min(kGrain, n - begin))};
    const double rms = std::sqrt(squares / static_cast<double>(n));
    const auto scale = static_cast<float>(learning_rate / std::max(1.0, rms / kClipThreshold));
    const auto decay = static_cast<float>(1 - weight_decay * learning_rate);
    float* p = parameter.f32();
    base::parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) p[i] = p[i] * decay - scale * u[i];
    });
  }

 private:
  static void whole(const Tensor& gradient, float keep, Tensor& square, Tensor& change) {
    const float* g = gradient.f32();
    float *v = square.f32(), *u = change.f32();
    for (int64_t i = 0; i < gradient.numel(); ++i) {
      v[i] = v[i] * keep + (g[i] * g[i] + static_cast<float>(kEps)) * (1 - keep);
      u[i] = g[i] / std::sqrt(v[i]);
    }
  }

  // Each matrix of the last two axes: u = g / sqrt(row column / mean(row)).
  static void factored(const Tensor& gradient, float keep, Tensor& row, Tensor& column,
                       Tensor& change) {
    const int64_t m = gradient.size(-2), n = gradient.size(-1);
    for (int64_t matrix = 0; matrix * m * n < gradient.numel(); ++matrix) {
      const float* g = gradient.f32() + matrix * m * n;
      float *r = row.f32() + matrix * m, *c = column.f32() + matrix * n;
      float* u = change.f32() + matrix * m * n;
      const float eps = static_cast<float>(kEps);
      base::parallel_for(m, std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const float sum = kernels::elementwise_kernels().dot(g + i * n, g + i * n, n);
          r[i] = r[i] * keep + (sum / static_cast<float>(n) + eps) * (1 - keep);
        }
      });
      std::vector<float> sums(static_cast<size_t>(n), 0.0f);
      base::parallel_for(n, std::max<int64_t>(64, kGrain / m), [&](int64_t begin, int64_t end) {
        for (int64_t i = 0; i < m; ++i)
          kernels::elementwise_kernels().accumulate_product(
              g + i * n + begin, g + i * n + begin, sums.data() + begin, end - begin);
      });
      for (int64_t j = 0; j < n; ++j)
        c[j] = c[j] * keep +
               (sums[static_cast<size_t>(j)] / static_cast<float>(m) + eps) * (1 - keep);
      double total = 0;
      for (int64_t i = 0; i < m; ++i) total += double{r[i]};
      const auto mean = static_cast<float>(total / static_cast<double>(m));
      for (int64_t j = 0; j < n; ++j) sums[static_cast<size_t>(j)] = 1 / std::sqrt(c[j]);
      base::parallel_for(m, std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const float factor = 1 / std::sqrt(r[i] / mean);
          for (int64_t j = 0; j < n; ++j)
            u[i * n + j] = g[i * n + j] * factor * sums[static_cast<size_t>(j)];
        }
      });
    }
  }
};

}  // namespace

std::unique_ptr<UpdateRule> make_adafactor() { return std::make_unique<Adafactor>(); }

}  // namespace sumi::train

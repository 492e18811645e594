// AdamW, Lion and SGD with float32 states.
#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernels/optimizer.h"
#include "train/optimizer.h"

namespace sumi::train {
namespace {

constexpr int64_t kGrain = 32768;  // elements; below, one thread is faster

class AdamW : public UpdateRule {
 public:
  explicit AdamW(const OptimizerOptions& options) : options_(options) {}

  ParameterState initial_state(const Tensor& parameter) const override {
    return {{"exp_avg", Tensor::zeros(parameter.shape())},
            {"exp_avg_sq", Tensor::zeros(parameter.shape())}};
  }

  void update(Tensor& parameter, const Gradient& gradient, ParameterState& state,
              double learning_rate, double weight_decay, int64_t step) const override {
    const double t = static_cast<double>(step);
    kernels::AdamWStep adamw;
    adamw.keep = static_cast<float>(1 - learning_rate * weight_decay);
    adamw.beta1 = static_cast<float>(options_.beta1);
    adamw.beta2 = static_cast<float>(options_.beta2);
    adamw.step_size = static_cast<float>(learning_rate / (1 - std::pow(options_.beta1, t)));
    adamw.inverse_root = static_cast<float>(1 / std::sqrt(1 - std::pow(options_.beta2, t)));
    adamw.eps = static_cast<float>(options_.eps);
    float *p = parameter.f32(), *m = state[0].second.f32(), *v = state[1].second.f32();
    base::parallel_for(parameter.numel(), kGrain, [&](int64_t begin, int64_t end) {
      constexpr int64_t kPiece = 1024;  // whose gradient stays in the first cache
      float buffer[kPiece];
      for (int64_t i = begin; i < end; i += kPiece) {
        const int64_t count = std::min(kPiece, end - i);
        kernels::adamw_kernel()(adamw, gradient.read(i, count, buffer), p + i, m + i, v + i, count);
      }
    });
  }

 private:
  OptimizerOptions options_;
};

// p *= 1 - lr wd;  p -= lr sign(beta1 m + (1 - beta1) g);  m = beta2 m + (1 - beta2) g
class Lion : public UpdateRule {
 public:
  explicit Lion(const OptimizerOptions& options) : options_(options) {}

  ParameterState initial_state(const Tensor& parameter) const override {
    return {{"exp_avg", Tensor::zeros(parameter.shape())}};
  }

  void update(Tensor& parameter, const Gradient& gradient, ParameterState& state,
              double learning_rate, double weight_decay, int64_t) const override {
    const auto keep = static_cast<float>(1 - learning_rate * weight_decay);
    const auto lr = static_cast<float>(learning_rate);
    const auto beta1 = static_cast<float>(options_.beta1);
    const auto beta2 = static_cast<float>(options_.beta2);
    const Tensor whole = gradient.whole();
    const float* g = whole.f32();
    float *p = parameter.f32(), *m = state[0].second.f32();
    base::parallel_for(parameter.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float direction = beta1 * m[i] + (1 - beta1) * g[i];
        const float sign = static_cast<float>((direction > 0) - (direction < 0));
        p[i] = p[i] * keep - lr * sign;
        m[i] = beta2 * m[i] + (1 - beta2) * g[i];
      }
    });
  }

 private:
  OptimizerOptions options_;
};

// g += wd p;  m = momentum m + g (at first m = g);  p -= lr m
class Sgd : public UpdateRule {
 public:
  explicit Sgd(const OptimizerOptions& options) : options_(options) {}

  ParameterState initial_state(const Tensor& parameter) const override {
    if (options_.momentum == 0) return {};
    return {{"momentum_buffer", Tensor::zeros(parameter.shape())}};
  }

  void update(Tensor& parameter, const Gradient& gradient, ParameterState& state,
              double learning_rate, double weight_decay, int64_t) const override {
    const auto lr = static_cast<float>(learning_rate), decay = static_cast<float>(weight_decay);
    const auto momentum = static_cast<float>(options_.momentum);
    const Tensor whole = gradient.whole();
    const float* g = whole.f32();
    float *p = parameter.f32(), *m = state.empty() ? nullptr : state[0].second.f32();
    base::parallel_for(parameter.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        float direction = g[i] + decay * p[i];
        if (m) direction = m[i] = momentum * m[i] + direction;
        p[i] -= lr * direction;
      }
    });
  }

 private:
  OptimizerOptions options_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_adamw(const OptimizerOptions& options) {
  return std::make_unique<AdamW>(options);
}
std::unique_ptr<UpdateRule> make_lion(const OptimizerOptions& options) {
  return std::make_unique<Lion>(options);
}
std::unique_ptr<UpdateRule> make_sgd(const OptimizerOptions& options) {
  return std::make_unique<Sgd>(options);
}

}  // namespace sumi::train

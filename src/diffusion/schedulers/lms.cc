// Linear multistep over sigma (as in k-diffusion): the last four slopes, joined by a polynomial,
// integrated over the step.
#include <cmath>

#include "diffusion/schedulers/schedulers.h"
#include "diffusion/schedulers/sigma_scheduler.h"

namespace sumi::diffusion {

namespace {

class Lms : public SigmaScheduler {
 public:
  explicit Lms(SchedulerConfig& config)
      : SigmaScheduler(config, false, {}), curve_(read_sigma_curve(config)) {}

  void set_timesteps(int64_t steps) override {
    plan(steps, curve_, 0);
    slopes_.clear();
  }

  Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
              base::Generator&) override {
    constexpr size_t kOrder = 4;
    const float sigma = sigmas_.at(i);
    const Tensor clean = denoised(model_output, sigma, sample);
    slopes_.push_back(slope(sample, clean, sigma));
    if (slopes_.size() > kOrder) slopes_.erase(slopes_.begin());
    // The order goes by the place in the schedule; image-to-image has fewer slopes at first, and
    // takes those.
    const size_t order = std::min(i + 1, kOrder);
    Tensor next = sample;
    for (size_t k = 0; k < std::min(order, slopes_.size()); ++k)
      next = weighted_sum(
          {{1, next}, {static_cast<float>(weight(i, order, k)), slopes_[slopes_.size() - 1 - k]}});
    return next;
  }

 private:
  // The integral from sigma[i] to sigma[i + 1] of the Lagrange polynomial that is 1 at sigma[i - k]
  // and 0 at the others. Two points of Gauss's rule are exact up to the third degree.
  double weight(size_t i, size_t order, size_t k) const {
    const auto polynomial = [&](double at) {
      double product = 1;
      for (size_t j = 0; j < order; ++j)
        if (j != k)
          product *=
              (at - double{sigmas_[i - j]}) / (double{sigmas_[i - k]} - double{sigmas_[i - j]});
      return product;
    };
    const double from = sigmas_[i], to = sigmas_[i + 1];
    const double middle = (from + to) / 2, half = (to - from) / 2, point = half / std::sqrt(3.0);
    return half * (polynomial(middle - point) + polynomial(middle + point));
  }

  SigmaCurve curve_;
  std::vector<Tensor> slopes_;
};

}  // namespace

std::unique_ptr<Scheduler> make_lms(SchedulerConfig& config) {
  return std::make_unique<Lms>(config);
}

}  // namespace sumi::diffusion

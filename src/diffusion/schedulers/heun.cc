// Heun's method over sigma (arXiv 2206.00364, algorithm 1): an Euler step, then the same step with
// the mean of both slopes.
#include <cmath>

#include "diffusion/schedulers/schedulers.h"
#include "diffusion/schedulers/sigma_scheduler.h"

namespace sumi::diffusion {

namespace {

class Heun : public SigmaScheduler {
 public:
  explicit Heun(SchedulerConfig& config)
      : SigmaScheduler(config, false, {0.00085, 0.012, "linear"}),
        curve_(read_sigma_curve(config)),
        clipping_(read_clipping(config, true, false, false)) {}

  int order() const override { return 2; }

  void set_timesteps(int64_t steps) override {
    plan(steps, curve_, 0);
    const std::vector<float> timesteps = timesteps_, sigmas = sigmas_;
    timesteps_ = {timesteps[0]};
    sigmas_ = {sigmas[0]};
    for (size_t k = 1; k < timesteps.size(); ++k) {  // all but the first twice
      timesteps_.insert(timesteps_.end(), 2, timesteps[k]);
      sigmas_.insert(sigmas_.end(), 2, sigmas[k]);
    }
    sigmas_.push_back(sigmas.back());
    second_ = false;
  }

  Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
              base::Generator&) override {
    // The first half lies at sigmas[i], the second at the sigma it went to, which the list holds
    // again at i.
    const float sigma = sigmas_.at(i);
    const Tensor clean = clipped(denoised(model_output, sigma, sample), clipping_);
    const Tensor direction = slope(sample, clean, sigma);
    if (!second_) {
      first_slope_ = direction;
      first_sample_ = sample;
      distance_ = sigmas_.at(i + 1) - sigma;
      second_ = true;
      return weighted_sum({{1, sample}, {distance_, direction}});
    }
    second_ = false;
    return weighted_sum(
        {{1, first_sample_}, {distance_ / 2, first_slope_}, {distance_ / 2, direction}});
  }

 private:
  SigmaCurve curve_;
  Clipping clipping_;
  bool second_ = false;
  float distance_ = 0;
  Tensor first_slope_, first_sample_;
};

}  // namespace

std::unique_ptr<Scheduler> make_heun(SchedulerConfig& config) {
  return std::make_unique<Heun>(config);
}

}  // namespace sumi::diffusion

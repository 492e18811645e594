// Euler's method over sigma (arXiv 2206.00364, algorithm 2 without churn), plain and ancestral (as
// in k-diffusion).
#include <cmath>

#include "base/error.h"
#include "diffusion/schedulers/schedulers.h"
#include "diffusion/schedulers/sigma_scheduler.h"

namespace sumi::diffusion {

namespace {

class Euler : public SigmaScheduler {
 public:
  explicit Euler(SchedulerConfig& config)
      : SigmaScheduler(config, config.flag("rescale_betas_zero_snr", false), {}),
        curve_(read_sigma_curve(config)),
        log_linear_(config.word("interpolation_type", "linear", {"linear", "log_linear"}) ==
                    "log_linear"),
        ends_at_zero_(config.word("final_sigmas_type", "zero", {"zero", "sigma_min"}) == "zero"),
        sigma_max_(config.number("sigma_max", 0)),
        sigma_min_(config.number("sigma_min", 0)) {
    const bool continuous =
        config.word("timestep_type", "discrete", {"discrete", "continuous"}) == "continuous";
    continuous_ = continuous && prediction_type_ == "v_prediction";
    if (log_linear_ && curve_ != SigmaCurve::none)
      fail("{}: interpolation_type: log_linear does not go with Karras or exponential sigmas",
           config.file());
  }

  void set_timesteps(int64_t steps) override {
    plan(steps, curve_, ends_at_zero_ ? 0 : training_sigmas_.front(), sigma_max_, sigma_min_);
    if (log_linear_) {
      // one point more than steps, as diffusers has it: two zeros or lowest sigmas end the list
      const double low = std::log(training_sigmas_.front()),
                   high = std::log(training_sigmas_.back());
      sigmas_.clear();
      for (int64_t i = 0; i <= steps; ++i)
        sigmas_.push_back(static_cast<float>(
            std::exp(high + (low - high) * static_cast<double>(i) / static_cast<double>(steps))));
      sigmas_.push_back(ends_at_zero_ ? 0 : training_sigmas_.front());
    }
    if (!continuous_) return;
    for (size_t i = 0; i < timesteps_.size(); ++i) timesteps_[i] = 0.25f * std::log(sigmas_[i]);
  }

  Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
              base::Generator&) override {
    const float sigma = sigmas_.at(i);
    const Tensor direction = slope(sample, denoised(model_output, sigma, sample), sigma);
    return weighted_sum({{1, sample}, {sigmas_.at(i + 1) - sigma, direction}});
  }

 private:
  SigmaCurve curve_;
  bool log_linear_, ends_at_zero_, continuous_ = false;
  double sigma_max_, sigma_min_;
};

class EulerAncestral : public SigmaScheduler {
 public:
  explicit EulerAncestral(SchedulerConfig& config)
      : SigmaScheduler(config, config.flag("rescale_betas_zero_snr", false), {}, false) {}

  void set_timesteps(int64_t steps) override { plan(steps, SigmaCurve::none, 0); }

  Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
              base::Generator& generator) override {
    const float from = sigmas_.at(i), to = sigmas_.at(i + 1);
    const float up = std::sqrt(to * to * (from * from - to * to) / (from * from));
    const float down = std::sqrt(to * to - up * up);
    const Tensor direction = slope(sample, denoised(model_output, from, sample), from);
    return weighted_sum(
        {{1, sample}, {down - from, direction}, {up, noise_like(sample, generator)}});
  }
};

}  // namespace

std::unique_ptr<Scheduler> make_euler(SchedulerConfig& config) {
  return std::make_unique<Euler>(config);
}
std::unique_ptr<Scheduler> make_euler_ancestral(SchedulerConfig& config) {
  return std::make_unique<EulerAncestral>(config);
}

}  // namespace sumi::diffusion

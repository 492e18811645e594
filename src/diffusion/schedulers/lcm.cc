// Latent consistency models (arXiv 2310.04378, algorithm 3).
#include <cmath>

#include "base/error.h"
#include "diffusion/schedulers/alpha_scheduler.h"
#include "diffusion/schedulers/schedulers.h"

namespace sumi::diffusion {

namespace {

class Lcm : public AlphaScheduler {
 public:
  explicit Lcm(SchedulerConfig& config)
      : AlphaScheduler(config, config.flag("rescale_betas_zero_snr", false),
                       {0.00085, 0.012, "scaled_linear"}),
        clipping_(read_clipping(config, true, false, true)),
        original_steps_(config.integer("original_inference_steps", 50)),
        timestep_scaling_(config.number("timestep_scaling", 10)) {
    if (!config.flag("set_alpha_to_one", true)) final_alpha_ = alphas_cumprod_[0];
    if (original_steps_ < 1 || original_steps_ > train_steps())
      fail("{}: original_inference_steps: expected 1 to {}, found {}", config.file(), train_steps(),
           original_steps_);
  }

  // Some of the timesteps that the model was distilled on.
  void set_timesteps(int64_t steps) override {
    if (steps < 1 || steps > original_steps_)
      fail("steps: expected 1 to {} (original_inference_steps), found {}", original_steps_, steps);
    const int64_t stride = train_steps() / original_steps_;
    const double ratio = static_cast<double>(original_steps_) / static_cast<double>(steps);
    timesteps_.clear();
    for (int64_t i = 0; i < steps; ++i) {
      const auto index = static_cast<int64_t>(std::floor(static_cast<double>(i) * ratio));
      timesteps_.push_back(static_cast<float>((original_steps_ - index) * stride - 1));
    }
  }

  Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
              base::Generator& generator) override {
    const float a = alpha(timestep(i));
    const Tensor original = clipped(
        predicted_original(prediction_type_, std::sqrt(a), std::sqrt(1 - a), model_output, sample),
        clipping_);
    // Boundary conditions, so that the function is the identity at timestep 0
    constexpr double kData = 0.5;
    const double t = static_cast<double>(timestep(i)) * timestep_scaling_;
    const double skip = kData * kData / (t * t + kData * kData);
    const double out = t / std::sqrt(t * t + kData * kData);
    const Tensor denoised =
        weighted_sum({{static_cast<float>(out), original}, {static_cast<float>(skip), sample}});
    if (i + 1 == timesteps_.size()) return denoised;
    const float next = alpha(timestep(i + 1));
    return weighted_sum(
        {{std::sqrt(next), denoised}, {std::sqrt(1 - next), noise_like(sample, generator)}});
  }

 private:
  Clipping clipping_;
  int64_t original_steps_;
  double timestep_scaling_;
};

}  // namespace

std::unique_ptr<Scheduler> make_lcm(SchedulerConfig& config) {
  return std::make_unique<Lcm>(config);
}

}  // namespace sumi::diffusion

#include "diffusion/schedulers/alpha_scheduler.h"

#include <cmath>

namespace sumi::diffusion {

AlphaScheduler::AlphaScheduler(SchedulerConfig& config, bool zero_snr, const BetaDefaults& defaults,
                               bool sample_allowed)
    : alphas_cumprod_(read_alphas_cumprod(config, zero_snr, defaults)),
      spacing_(read_spacing(config, "leading")),
      steps_offset_(config.integer("steps_offset", 0)) {
  prediction_type_ = read_prediction_type(config, sample_allowed);
}

std::vector<float> AlphaScheduler::spaced(int64_t steps) const {
  check_steps(steps, train_steps());
  const std::vector<double> values =
      rounded(spaced_timesteps(spacing_, train_steps(), steps, steps_offset_));
  const std::vector<float> timesteps(values.begin(), values.end());
  check_timesteps(timesteps, train_steps());
  return timesteps;
}

Tensor AlphaScheduler::add_noise(const Tensor& original, const Tensor& noise, size_t i) const {
  const float a = alpha(timestep(i));
  return weighted_sum({{std::sqrt(a), original}, {std::sqrt(1 - a), noise}});
}

}  // namespace sumi::diffusion

#include "diffusion/schedulers/solver_scheduler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace sumi::diffusion {

SolverScheduler::SolverScheduler(SchedulerConfig& config) {
  const bool zero_snr = config.flag("rescale_betas_zero_snr", false);
  alphas_cumprod_ = read_alphas_cumprod(config, zero_snr);
  if (zero_snr) alphas_cumprod_.back() = 0x1p-24f;  // not 0, so that sigma is finite
  training_sigmas_ = sigmas_of(alphas_cumprod_);
  if (training_sigmas_.size() < 2)
    fail("{}: num_train_timesteps: expected 2 or more", config.file());
  spacing_ = read_spacing(config, "linspace");
  steps_offset_ = config.integer("steps_offset", 0);
  curve_ = read_sigma_curve(config);
  ends_at_zero_ = config.word("final_sigmas_type", "zero", {"zero", "sigma_min"}) == "zero";
  clipping_ = read_clipping(config, false, false, true);
  prediction_type_ = read_prediction_type(config);
  config.refuse("use_flow_sigmas");
  config.refuse("use_dynamic_shifting");
}

void SolverScheduler::plan(int64_t steps, int64_t limit, bool curved_end, bool whole_karras) {
  check_steps(steps, train_steps());
  std::vector<double> timesteps;
  if (spacing_ == Spacing::trailing) {
    // Steps are as long as if there were no limit.
    const double ratio = static_cast<double>(train_steps()) / static_cast<double>(steps);
    const double first = static_cast<double>(limit), stride = (first - ratio) - first;
    for (int64_t i = 0; i < static_cast<int64_t>(std::ceil(first / ratio)); ++i)
      timesteps.push_back(std::nearbyint(first + static_cast<double>(i) * stride) - 1);
  } else {
    timesteps = rounded(spaced_timesteps(spacing_, limit, steps, steps_offset_, true));
  }
  std::vector<double> sigmas;
  if (curve_ == SigmaCurve::none) {
    for (const double t : timesteps) sigmas.push_back(interpolated(training_sigmas_, t));
  } else {
    sigmas = curved_sigmas(curve_, sigma_max_ > 0 ? sigma_max_ : training_sigmas_.back(),
                           sigma_min_ > 0 ? sigma_min_ : training_sigmas_.front(), steps);
    timesteps.clear();
    for (const double sigma : sigmas)
      timesteps.push_back(timestep_of_sigma(sigma, training_sigmas_));
    if (curve_ == SigmaCurve::karras && whole_karras) timesteps = rounded(timesteps);
  }
  timesteps_.clear();
  for (const double t : timesteps) timesteps_.push_back(static_cast<float>(std::trunc(t)));
  check_timesteps(timesteps_, train_steps());
  sigmas_.assign(sigmas.begin(), sigmas.end());
  const bool own_end = curved_end && curve_ != SigmaCurve::none;
  sigmas_.push_back(ends_at_zero_ ? 0 : own_end ? sigmas_.back() : training_sigmas_.front());
}

SolverScheduler::Level SolverScheduler::level(size_t i) const {
  const float ratio = sigmas_.at(i), alpha = 1 / std::sqrt(ratio * ratio + 1);
  const float sigma = ratio * alpha;
  return {alpha, sigma, std::log(alpha) - std::log(sigma)};
}

Tensor SolverScheduler::add_noise(const Tensor& original, const Tensor& noise, size_t i) const {
  const Level at = level(i);
  return weighted_sum({{at.alpha, original}, {at.sigma, noise}});
}

Tensor SolverScheduler::as_original(const Tensor& output, size_t i, const Tensor& sample) const {
  const Level at = level(i);
  return clipped(predicted_original(prediction_type_, at.alpha, at.sigma, output, sample),
                 clipping_);
}

Tensor SolverScheduler::as_epsilon(const Tensor& output, size_t i, const Tensor& sample) const {
  const Level at = level(i);
  if (prediction_type_ == "epsilon") return output;
  if (prediction_type_ == "v_prediction")
    return weighted_sum({{at.alpha, output}, {at.sigma, sample}});
  return weighted_sum({{1 / at.sigma, sample}, {-at.alpha / at.sigma, output}});
}

}  // namespace sumi::diffusion

#include "diffusion/schedulers/sigma_scheduler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace sumi::diffusion {

SigmaScheduler::SigmaScheduler(SchedulerConfig& config, bool zero_snr, const BetaDefaults& defaults,
                               bool sample_allowed) {
  std::vector<float> alphas_cumprod = read_alphas_cumprod(config, zero_snr, defaults);
  if (zero_snr) alphas_cumprod.back() = 0x1p-24f;  // not 0, so that sigma is finite
  training_sigmas_ = sigmas_of(alphas_cumprod);
  if (training_sigmas_.size() < 2)
    fail("{}: num_train_timesteps: expected 2 or more", config.file());
  spacing_ = read_spacing(config, "linspace");
  steps_offset_ = config.integer("steps_offset", 0);
  prediction_type_ = read_prediction_type(config, sample_allowed);
}

void SigmaScheduler::plan(int64_t steps, SigmaCurve curve, float last, double sigma_max,
                          double sigma_min) {
  check_steps(steps, train_steps());
  const std::vector<double> values =
      spaced_timesteps(spacing_, train_steps(), steps, steps_offset_);
  timesteps_.assign(values.begin(), values.end());
  sigmas_.clear();
  for (const float t : timesteps_)
    sigmas_.push_back(static_cast<float>(interpolated(training_sigmas_, t)));
  if (curve != SigmaCurve::none) {
    const double highest =
        sigma_max > 0 ? sigma_max : interpolated(training_sigmas_, timesteps_.front());
    const double lowest =
        sigma_min > 0 ? sigma_min : interpolated(training_sigmas_, timesteps_.back());
    const std::vector<double> sigmas = curved_sigmas(curve, highest, lowest, steps);
    sigmas_.assign(sigmas.begin(), sigmas.end());
    timesteps_.clear();
    for (const double sigma : sigmas)
      timesteps_.push_back(static_cast<float>(timestep_of_sigma(sigma, training_sigmas_)));
  }
  sigmas_.push_back(last);
}

float SigmaScheduler::init_noise_sigma() const {
  const float highest =
      sigmas_.empty() ? training_sigmas_.back() : *std::max_element(sigmas_.begin(), sigmas_.end());
  return spacing_ == Spacing::leading ? std::sqrt(highest * highest + 1) : highest;
}

Tensor SigmaScheduler::scale_model_input(const Tensor& sample, size_t i) const {
  const float sigma = sigmas_.at(i);
  return weighted_sum({{1 / std::sqrt(sigma * sigma + 1), sample}});
}

Tensor SigmaScheduler::add_noise(const Tensor& original, const Tensor& noise, size_t i) const {
  return weighted_sum({{1, original}, {sigmas_.at(i), noise}});
}

Tensor SigmaScheduler::denoised(const Tensor& output, float sigma, const Tensor& sample) const {
  if (prediction_type_ == "epsilon") return weighted_sum({{1, sample}, {-sigma, output}});
  if (prediction_type_ == "sample") return output;
  const float variance = sigma * sigma + 1;
  return weighted_sum({{-sigma / std::sqrt(variance), output}, {1 / variance, sample}});
}

Tensor SigmaScheduler::slope(const Tensor& sample, const Tensor& clean, float sigma) {
  Tensor result = weighted_sum({{1, sample}, {-1, clean}});
  float* values = result.f32();
  for (int64_t i = 0; i < result.numel(); ++i) values[i] /= sigma;
  return result;
}

}  // namespace sumi::diffusion

// What the exponential integrators (DPM-Solver, UniPC) share: samples of variance 1, alpha * clean
// + sigma * noise, and steps in lambda = log(alpha / sigma) (arXiv 2206.00927).
#pragma once

#include <vector>

#include "diffusion/scheduler.h"
#include "diffusion/schedulers/arithmetic.h"
#include "diffusion/schedulers/noise_levels.h"

namespace sumi::diffusion {

class SolverScheduler : public Scheduler {
 public:
  Tensor add_noise(const Tensor& original, const Tensor& noise, size_t i) const override;

 protected:
  explicit SolverScheduler(SchedulerConfig& config);

  struct Level {
    float alpha, sigma, lambda;
  };
  // Of timesteps()[i], or, at their number, of the end.
  Level level(size_t i) const;

  int64_t train_steps() const { return static_cast<int64_t>(training_sigmas_.size()); }
  // `curved_end`: with a curve, final_sigmas_type sigma_min ends at the curve's own last sigma.
  // `whole_karras`: Karras timesteps are rounded. `limit`: only levels below this timestep.
  void plan(int64_t steps, int64_t limit, bool curved_end, bool whole_karras);

  // The output as a clean sample, thresholded if so configured, or as noise.
  Tensor as_original(const Tensor& output, size_t i, const Tensor& sample) const;
  Tensor as_epsilon(const Tensor& output, size_t i, const Tensor& sample) const;

  std::vector<float> alphas_cumprod_;
  std::vector<float> training_sigmas_;  // sigma / alpha, rising
  std::vector<float> sigmas_;           // sigma / alpha of timesteps(), and one more
  Spacing spacing_;
  int64_t steps_offset_;
  SigmaCurve curve_;
  bool ends_at_zero_;
  double sigma_max_ = 0, sigma_min_ = 0;  // the curve's ends, where not 0
  Clipping clipping_;
};

}  // namespace sumi::diffusion

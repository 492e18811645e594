// What Euler, Heun and LMS share: a sample is the clean one plus sigma times noise (arXiv
// 2206.00364), and the model sees it scaled to variance 1.
#pragma once

#include <vector>

#include "diffusion/scheduler.h"
#include "diffusion/schedulers/arithmetic.h"
#include "diffusion/schedulers/noise_levels.h"

namespace sumi::diffusion {

class SigmaScheduler : public Scheduler {
 public:
  float init_noise_sigma() const override;
  Tensor scale_model_input(const Tensor& sample, size_t i) const override;
  Tensor add_noise(const Tensor& original, const Tensor& noise, size_t i) const override;

 protected:
  SigmaScheduler(SchedulerConfig& config, bool zero_snr, const BetaDefaults& defaults,
                 bool sample_allowed = true);

  int64_t train_steps() const { return static_cast<int64_t>(training_sigmas_.size()); }
  // Timesteps and their sigmas, then `last`; sigma_max and sigma_min, where not 0, are the curve's
  // ends.
  void plan(int64_t steps, SigmaCurve curve, float last, double sigma_max = 0,
            double sigma_min = 0);
  // The clean sample that an output at this sigma says.
  Tensor denoised(const Tensor& output, float sigma, const Tensor& sample) const;

  // (sample - clean) / sigma, where the path through the sample goes: in just this order of
  // operations, because at the sigma of 4096 that zero_snr gives, any other differs in the fifth
  // digit of the next sample.
  static Tensor slope(const Tensor& sample, const Tensor& clean, float sigma);

  std::vector<float> training_sigmas_;  // rising
  std::vector<float> sigmas_;           // of timesteps(), and one more
  Spacing spacing_;
  int64_t steps_offset_;
};

}  // namespace sumi::diffusion

// What DDIM, DDPM, PNDM and LCM share: levels counted by alphas_cumprod, the share of signal left
// in a sample's variance.
#pragma once

#include <vector>

#include "diffusion/scheduler.h"
#include "diffusion/schedulers/arithmetic.h"
#include "diffusion/schedulers/noise_levels.h"

namespace sumi::diffusion {

class AlphaScheduler : public Scheduler {
 public:
  Tensor add_noise(const Tensor& original, const Tensor& noise, size_t i) const override;

 protected:
  // Reads the betas, prediction_type, timestep_spacing and steps_offset; the others' keys are
  // theirs.
  AlphaScheduler(SchedulerConfig& config, bool zero_snr, const BetaDefaults& defaults = {},
                 bool sample_allowed = true);

  int64_t train_steps() const { return static_cast<int64_t>(alphas_cumprod_.size()); }
  int64_t timestep(size_t i) const { return static_cast<int64_t>(timesteps_.at(i)); }
  // Of a timestep; below 0 the final one.
  float alpha(int64_t timestep) const {
    return timestep < 0 ? final_alpha_ : alphas_cumprod_.at(static_cast<size_t>(timestep));
  }
  // Descending integer timesteps.
  std::vector<float> spaced(int64_t steps) const;

  std::vector<float> alphas_cumprod_;
  float final_alpha_ = 1;  // of the clean picture: 1, or the first level's (set_alpha_to_one)
  Spacing spacing_;
  int64_t steps_offset_;
};

}  // namespace sumi::diffusion

// Noise as trainings add it: at any of the schedule's timesteps, after diffusers' DDPMScheduler,
// which its training scripts use whatever scheduler a folder names.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::diffusion {

class TrainingNoise {
 public:
  // From a scheduler_config.json; `file` is for messages. Throws Error naming the field.
  TrainingNoise(nlohmann::json config, const std::string& file);

  int64_t timesteps() const { return static_cast<int64_t>(alphas_cumprod_.size()); }
  const std::string& prediction_type() const { return prediction_type_; }

  // clean and noise [B, ...], one timestep for each of B.
  // sqrt(a) clean + sqrt(1 - a) noise, arXiv:2006.11239
  Tensor noisy(const Tensor& clean, const Tensor& noise, const std::vector<int64_t>& at) const;
  // What a network should answer: noise, the clean sample, or the velocity
  // sqrt(a) noise - sqrt(1 - a) clean (arXiv:2202.00512).
  Tensor target(const Tensor& clean, const Tensor& noise, const std::vector<int64_t>& at) const;

  // How much a timestep counts with min-SNR-gamma (arXiv:2303.09556): min(SNR, gamma), divided by
  // SNR (epsilon) or SNR + 1 (v_prediction).
  float snr_weight(int64_t timestep, double gamma) const;

 private:
  Tensor mixed(const Tensor& x, const Tensor& y, const std::vector<int64_t>& at,
               bool swapped) const;

  std::vector<float> alphas_cumprod_;
  std::string prediction_type_;
};

}  // namespace sumi::diffusion

#include "diffusion/training_noise.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "diffusion/schedulers/arithmetic.h"
#include "diffusion/schedulers/config.h"
#include "diffusion/schedulers/noise_levels.h"

namespace sumi::diffusion {

TrainingNoise::TrainingNoise(nlohmann::json config, const std::string& file) {
  if (!config.is_object()) fail("{}: expected an object", file);
  erase_default_values(config);
  SchedulerConfig reader(config, file);
  alphas_cumprod_ = read_alphas_cumprod(reader, reader.flag("rescale_betas_zero_snr", false));
  prediction_type_ = read_prediction_type(reader, true);
}

// swapped: sqrt(a) y - sqrt(1 - a) x in place of sqrt(a) x + sqrt(1 - a) y.
Tensor TrainingNoise::mixed(const Tensor& x, const Tensor& y, const std::vector<int64_t>& at,
                            bool swapped) const {
  if (x.shape() != y.shape() || x.dim() < 1 || x.size(0) != static_cast<int64_t>(at.size()))
    fail("noise: samples {}, noise {}, {} timesteps: expected equal shapes and a timestep for each",
         tensor::shape_string(x.shape()), tensor::shape_string(y.shape()), at.size());
  Tensor out = Tensor::empty(x.shape());
  const int64_t n = x.numel() / std::max<int64_t>(1, x.size(0));
  for (size_t b = 0; b < at.size(); ++b) {
    const float a = alphas_cumprod_.at(static_cast<size_t>(at[b]));
    const float signal = std::sqrt(a), noise = std::sqrt(1 - a);
    const int64_t begin = static_cast<int64_t>(b) * n;
    for (int64_t i = begin; i < begin + n; ++i)
      out.f32()[i] = swapped ? signal * y.f32()[i] - noise * x.f32()[i]
                             : signal * x.f32()[i] + noise * y.f32()[i];
  }
  return out;
}

Tensor TrainingNoise::noisy(const Tensor& clean, const Tensor& noise,
                            const std::vector<int64_t>& at) const {
  return mixed(clean, noise, at, false);
}

Tensor TrainingNoise::target(const Tensor& clean, const Tensor& noise,
                             const std::vector<int64_t>& at) const {
  if (prediction_type_ == "epsilon") return noise;
  if (prediction_type_ == "sample") return clean;
  return mixed(clean, noise, at, true);
}

float TrainingNoise::snr_weight(int64_t timestep, double gamma) const {
  const double a = alphas_cumprod_.at(static_cast<size_t>(timestep));
  const double snr = a / (1 - a), least = std::min(snr, gamma);
  if (prediction_type_ == "sample") return static_cast<float>(least);
  if (prediction_type_ == "v_prediction") return static_cast<float>(least / (snr + 1));
  return static_cast<float>(snr > 0 ? least / snr : 1);
}

}  // namespace sumi::diffusion

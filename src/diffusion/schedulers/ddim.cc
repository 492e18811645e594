// DDIM (arXiv 2010.02502, formula 12).
#include <cmath>

#include "base/error.h"
#include "diffusion/schedulers/alpha_scheduler.h"
#include "diffusion/schedulers/schedulers.h"

namespace sumi::diffusion {

namespace {

class Ddim : public AlphaScheduler {
 public:
  explicit Ddim(SchedulerConfig& config)
      : AlphaScheduler(config, config.flag("rescale_betas_zero_snr", false)),
        clipping_(read_clipping(config, true, true, true)) {
    if (!config.flag("set_alpha_to_one", true)) final_alpha_ = alphas_cumprod_[0];
  }

  void set_eta(double eta) override {
    if (!(eta >= 0 && eta <= 1)) fail("eta: expected 0 to 1, found {}", eta);
    eta_ = static_cast<float>(eta);
  }

  void set_timesteps(int64_t steps) override {
    timesteps_ = spaced(steps);
    stride_ = train_steps() / steps;
  }

  Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
              base::Generator& generator) override {
    const float a = alpha(timestep(i)), previous = alpha(timestep(i) - stride_);
    const float signal = std::sqrt(a), noise = std::sqrt(1 - a);
    const Tensor original =
        predicted_original(prediction_type_, signal, noise, model_output, sample);
    const Tensor epsilon = prediction_type_ == "epsilon" ? model_output
                           : prediction_type_ == "sample"
                               ? weighted_sum({{1 / noise, sample}, {-signal / noise, original}})
                               : weighted_sum({{signal, model_output}, {noise, sample}});
    const float variance = (1 - previous) / (1 - a) * (1 - a / previous);
    const float deviation = eta_ > 0 ? eta_ * std::sqrt(variance) : 0;
    const float direction = std::sqrt(1 - previous - deviation * deviation);
    const Tensor limited = clipped(original, clipping_);
    const Tensor next = weighted_sum({{std::sqrt(previous), limited}, {direction, epsilon}});
    if (eta_ == 0) return next;
    return weighted_sum({{1, next}, {deviation, noise_like(sample, generator)}});
  }

 private:
  Clipping clipping_;
  float eta_ = 0;
  int64_t stride_ = 0;
};

}  // namespace

std::unique_ptr<Scheduler> make_ddim(SchedulerConfig& config) {
  return std::make_unique<Ddim>(config);
}

}  // namespace sumi::diffusion

// DDPM (arXiv 2006.11239), with the variances of improved DDPM (arXiv 2102.09672).
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "diffusion/schedulers/alpha_scheduler.h"
#include "diffusion/schedulers/schedulers.h"

namespace sumi::diffusion {

namespace {

class Ddpm : public AlphaScheduler {
 public:
  explicit Ddpm(SchedulerConfig& config)
      : AlphaScheduler(config, config.flag("rescale_betas_zero_snr", false)),
        clipping_(read_clipping(config, true, true, true)),
        variance_type_(config.word("variance_type", "fixed_small",
                                   {"fixed_small", "fixed_small_log", "fixed_large",
                                    "fixed_large_log", "learned", "learned_range"})) {}

  void set_timesteps(int64_t steps) override { timesteps_ = spaced(steps); }

  Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
              base::Generator& generator) override {
    Tensor output = model_output, predicted;
    if (learned()) split(model_output, sample, &output, &predicted);
    const float a = alpha(timestep(i));
    const float previous = i + 1 < timesteps_.size() ? alpha(timestep(i + 1)) : 1.0f;
    const float step_alpha = a / previous, beta = 1 - step_alpha;
    const Tensor original = clipped(
        predicted_original(prediction_type_, std::sqrt(a), std::sqrt(1 - a), output, sample),
        clipping_);
    const Tensor mean = weighted_sum({{std::sqrt(previous) * beta / (1 - a), original},
                                      {std::sqrt(step_alpha) * (1 - previous) / (1 - a), sample}});
    if (timestep(i) == 0) return mean;
    const Tensor noise = noise_like(sample, generator);
    const float small = std::max((1 - previous) / (1 - a) * beta, 1e-20f);
    if (!learned()) return weighted_sum({{1, mean}, {fixed_deviation(small, beta), noise}});
    return with_learned_noise(mean, noise, predicted, small, beta);
  }

 private:
  bool learned() const { return variance_type_.starts_with("learned"); }

  // The output's channels: first the prediction, then as many that tell the variance.
  static void split(const Tensor& both, const Tensor& sample, Tensor* output, Tensor* predicted) {
    Shape expected = sample.shape();
    if (sample.dim() >= 2) expected[1] *= 2;
    if (both.shape() != expected)
      fail("ddpm: a model that learns variances gives {}, found {}", tensor::shape_string(expected),
           tensor::shape_string(both.shape()));
    *output = Tensor::empty(sample.shape());
    *predicted = Tensor::empty(sample.shape());
    const int64_t count = sample.numel() / sample.size(0);
    for (int64_t b = 0; b < sample.size(0); ++b) {
      const float* in = both.f32() + 2 * b * count;
      std::copy_n(in, count, output->f32() + b * count);
      std::copy_n(in + count, count, predicted->f32() + b * count);
    }
  }

  // What the noise is multiplied with. `fixed_large_log` takes the root of a logarithm, which is no
  // number: an error.
  float fixed_deviation(float small, float beta) const {
    if (variance_type_ == "fixed_large") return std::sqrt(beta);
    if (variance_type_ == "fixed_large_log")
      fail("ddpm: variance_type fixed_large_log gives no numbers in diffusers either");
    return std::sqrt(small);
  }

  Tensor with_learned_noise(const Tensor& mean, const Tensor& noise, const Tensor& predicted,
                            float small, float beta) const {
    Tensor result = mean.clone();
    const float low = std::log(small), high = std::log(beta);
    for (int64_t k = 0; k < result.numel(); ++k) {
      const float p = predicted.f32()[k], share = (p + 1) / 2;
      const float deviation = variance_type_ == "learned"
                                  ? std::sqrt(p)
                                  : std::exp(0.5f * (share * high + (1 - share) * low));
      result.f32()[k] += deviation * noise.f32()[k];
    }
    return result;
  }

  Clipping clipping_;
  std::string variance_type_;
};

}  // namespace

std::unique_ptr<Scheduler> make_ddpm(SchedulerConfig& config) {
  return std::make_unique<Ddpm>(config);
}

}  // namespace sumi::diffusion

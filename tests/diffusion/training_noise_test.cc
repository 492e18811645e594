// Noise of trainings; epsilon, velocities and min-SNR weights are also compared with diffusers' in
// tests/train/picture_training_test.cc.
#include "diffusion/training_noise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace sumi::diffusion {
namespace {

TrainingNoise noise_of(const char* prediction, bool zero_snr = false) {
  return TrainingNoise({{"beta_start", 0.00085},
                        {"beta_end", 0.012},
                        {"beta_schedule", "scaled_linear"},
                        {"prediction_type", prediction},
                        {"rescale_betas_zero_snr", zero_snr}},
                       "scheduler_config.json");
}

TEST(TrainingNoise, MixesAndAsks) {
  const Tensor clean = Tensor::from({1, 2, 3, 4}, {2, 2}), noise = Tensor::from({-1, 0, 1, 5}, {2, 2});
  const std::vector<int64_t> at = {0, 999};
  const TrainingNoise epsilon = noise_of("epsilon"), sample = noise_of("sample"),
                      velocity = noise_of("v_prediction");
  EXPECT_EQ(epsilon.timesteps(), 1000);
  const Tensor noisy = epsilon.noisy(clean, noise, at);
  const Tensor v = velocity.target(clean, noise, at);
  EXPECT_EQ(epsilon.target(clean, noise, at).to_vector(), noise.to_vector());
  EXPECT_EQ(sample.target(clean, noise, at).to_vector(), clean.to_vector());
  // x = s c + n e and v = s e - n c give back c = s x - n v.
  const float alphas[] = {1 - 0.00085f, 0.00466f};
  for (int64_t i = 0; i < 4; ++i) {
    const float a = alphas[i / 2];
    EXPECT_NEAR(std::sqrt(a) * noisy.f32()[i] - std::sqrt(1 - a) * v.f32()[i], clean.f32()[i], 5e-3);
  }
}

TEST(TrainingNoise, MinSnrWeights) {
  const TrainingNoise epsilon = noise_of("epsilon");
  EXPECT_NEAR(epsilon.snr_weight(0, 5), 5 * 0.00085 / (1 - 0.00085), 1e-6);
  EXPECT_EQ(epsilon.snr_weight(999, 5), 1);
  const TrainingNoise pure = noise_of("epsilon", true);
  EXPECT_EQ(pure.snr_weight(999, 5), 1);  // where the signal is zero, its share's limit
  EXPECT_EQ(noise_of("v_prediction", true).snr_weight(999, 5), 0);
  EXPECT_EQ(noise_of("sample").snr_weight(0, 5), 5);
}

TEST(TrainingNoise, Errors) {
  EXPECT_THROW(noise_of("flow"), Error);
  EXPECT_THROW(TrainingNoise(nlohmann::json::array(), "x.json"), Error);
  const TrainingNoise noise = noise_of("epsilon");
  EXPECT_THROW(noise.noisy(Tensor::zeros({2, 2}), Tensor::zeros({2, 2}), {1}), Error);
}

}  // namespace
}  // namespace sumi::diffusion

// The noise levels of training and the timesteps chosen among them.
#pragma once

#include <string>
#include <vector>

#include "diffusion/schedulers/config.h"

namespace sumi::diffusion {

// Products of (1 - beta) up to each training timestep, in f32: beta_start, beta_end, beta_schedule,
// trained_betas, num_train_timesteps. With `zero_snr` the last level is pure noise, by
// rescale_betas_zero_snr (arXiv 2305.08891, algorithm 1).
struct BetaDefaults {
  double start = 0.0001, end = 0.02;
  const char* schedule = "linear";
};
std::vector<float> read_alphas_cumprod(SchedulerConfig& config, bool zero_snr,
                                       const BetaDefaults& defaults = {});

// sqrt((1 - a) / a): noise over signal.
std::vector<float> sigmas_of(const std::vector<float>& alphas_cumprod);

enum class Spacing { linspace, leading, trailing };
Spacing read_spacing(SchedulerConfig& config, const char* missing);

// `steps` timesteps out of [0, train), the noisiest first. `linspace` is not rounded to integers.
// The solvers
// (`before_last`) leave out the last of steps + 1.
std::vector<double> spaced_timesteps(Spacing spacing, int64_t train, int64_t steps, int64_t offset,
                                     bool before_last = false);

// numpy.round: halves to even.
std::vector<double> rounded(std::vector<double> values);

// Throws Error unless 1 <= steps <= train.
void check_steps(int64_t steps, int64_t train);
// Throws Error unless each timestep is a level of training.
void check_timesteps(const std::vector<float>& timesteps, int64_t train);

// Linear interpolation of values[0], values[1] ... at `at`, held at both ends.
double interpolated(const std::vector<float>& values, double at);
// The timestep (with fraction) whose level is sigma, by interpolation of the logarithms.
double timestep_of_sigma(double sigma, const std::vector<float>& sigmas);

// Sigmas for the steps that do not follow timesteps: use_karras_sigmas (arXiv 2206.00364, equation
// 5 with rho 7) and use_exponential_sigmas.
enum class SigmaCurve { none, karras, exponential };
SigmaCurve read_sigma_curve(SchedulerConfig& config);
std::vector<double> curved_sigmas(SigmaCurve curve, double highest, double lowest, int64_t steps);

}  // namespace sumi::diffusion

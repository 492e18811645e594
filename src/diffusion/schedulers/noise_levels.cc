#include "diffusion/schedulers/noise_levels.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "base/error.h"

namespace sumi::diffusion {

namespace {

// torch.linspace in f32: from both ends to the middle.
std::vector<float> linspace(double start, double end, int64_t count) {
  const float first = static_cast<float>(start), last = static_cast<float>(end);
  const float step = count > 1 ? (last - first) / static_cast<float>(count - 1) : 0;
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(i < count / 2 ? first + step * static_cast<float>(i)
                                   : last - step * static_cast<float>(count - 1 - i));
  return values;
}

// Betas from the share of signal left at time t in [0, 1], at most 0.999.
std::vector<float> betas_of(const std::function<double(double)>& alpha_bar, int64_t count) {
  std::vector<float> betas;
  for (int64_t i = 0; i < count; ++i) {
    const double n = static_cast<double>(count), at = static_cast<double>(i);
    betas.push_back(
        static_cast<float>(std::min(1 - alpha_bar((at + 1) / n) / alpha_bar(at / n), 0.999)));
  }
  return betas;
}

double cosine_bar(double t) {
  const double c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
  return c * c;
}
double exponential_bar(double t) { return std::exp(t * -12.0); }
double laplace_bar(double t) {
  const double lambda =
      -0.5 * std::copysign(1.0, 0.5 - t) * std::log(1 - 2 * std::abs(0.5 - t) + 1e-6);
  const double snr = std::exp(lambda);
  return std::sqrt(snr / (1 + snr));
}

std::vector<float> read_betas(SchedulerConfig& config, const BetaDefaults& defaults) {
  const int64_t count = config.integer("num_train_timesteps", 1000);
  if (count < 1 || count > 1000000)
    fail("{}: num_train_timesteps: expected 1 to 1000000, found {}", config.file(), count);
  const double start = config.number("beta_start", defaults.start);
  const double end = config.number("beta_end", defaults.end);
  const std::string schedule =
      config.word("beta_schedule", defaults.schedule,
                  {"linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp"});
  const std::vector<double> trained = config.numbers("trained_betas");
  std::vector<float> betas;
  if (!trained.empty()) {
    if (static_cast<int64_t>(trained.size()) != count)
      fail("{}: trained_betas: expected num_train_timesteps {} values, found {}", config.file(),
           count, trained.size());
    betas.assign(trained.begin(), trained.end());
  } else if (schedule == "linear") {
    betas = linspace(start, end, count);
  } else if (schedule == "scaled_linear") {
    betas = linspace(std::sqrt(start), std::sqrt(end), count);
    for (float& beta : betas) beta *= beta;
  } else if (schedule == "sigmoid") {
    betas = linspace(-6, 6, count);
    for (float& beta : betas)
      beta =
          1 / (1 + std::exp(-beta)) * static_cast<float>(end - start) + static_cast<float>(start);
  } else {
    betas = betas_of(schedule == "exp"       ? exponential_bar
                     : schedule == "laplace" ? laplace_bar
                                             : cosine_bar,
                     count);
  }
  for (const float beta : betas)
    if (!(beta > 0 && beta < 1))
      fail("{}: a beta of {}, expected values between 0 and 1", config.file(), beta);
  return betas;
}

// As torch.cumprod: multiplied in double, each product rounded to f32.
std::vector<float> products(const std::vector<float>& factors) {
  std::vector<float> result;
  double product = 1;
  for (const float factor : factors) result.push_back(static_cast<float>(product *= factor));
  return result;
}

}  // namespace

std::vector<float> read_alphas_cumprod(SchedulerConfig& config, bool zero_snr,
                                       const BetaDefaults& defaults) {
  std::vector<float> alphas = read_betas(config, defaults);
  for (float& value : alphas) value = 1.0f - value;
  if (!zero_snr || alphas.size() < 2) return products(alphas);
  // sqrt of the products, shifted so that the last is 0 and scaled so that the first stays
  std::vector<float> roots = products(alphas);
  for (float& root : roots) root = std::sqrt(root);
  const float first = roots.front(), last = roots.back();
  for (float& root : roots) {
    root = (root - last) * (first / (first - last));
    root *= root;
  }
  alphas[0] = roots[0];
  for (size_t i = 1; i < roots.size(); ++i) alphas[i] = roots[i] / roots[i - 1];
  for (float& value : alphas) value = 1.0f - (1.0f - value);  // diffusers goes by way of the betas
  return products(alphas);
}

std::vector<float> sigmas_of(const std::vector<float>& alphas_cumprod) {
  std::vector<float> sigmas;
  for (const float a : alphas_cumprod) sigmas.push_back(std::sqrt((1 - a) / a));
  return sigmas;
}

Spacing read_spacing(SchedulerConfig& config, const char* missing) {
  const std::string word =
      config.word("timestep_spacing", missing, {"linspace", "leading", "trailing"});
  if (word == "linspace") return Spacing::linspace;
  return word == "leading" ? Spacing::leading : Spacing::trailing;
}

std::vector<double> spaced_timesteps(Spacing spacing, int64_t train, int64_t steps, int64_t offset,
                                     bool before_last) {
  const int64_t points = before_last ? steps + 1 : steps;
  std::vector<double> timesteps;
  if (spacing == Spacing::trailing) {
    // numpy.arange(train, 0, -train / steps), whose rounding may give one step more
    const double ratio = static_cast<double>(train) / static_cast<double>(steps);
    const double first = static_cast<double>(train), stride = (first - ratio) - first;
    const auto count = static_cast<int64_t>(std::ceil(first / ratio));
    for (int64_t i = 0; i < count; ++i)
      timesteps.push_back(std::nearbyint(first + static_cast<double>(i) * stride) - 1);
    return timesteps;
  }
  for (int64_t i = points - 1; i >= (before_last ? 1 : 0); --i) {
    if (spacing == Spacing::leading)
      timesteps.push_back(static_cast<double>(i * (train / points) + offset));
    else if (i == points - 1 && i > 0)
      timesteps.push_back(static_cast<double>(train - 1));
    else
      timesteps.push_back(
          static_cast<double>(i) *
          (static_cast<double>(train - 1) / static_cast<double>(std::max<int64_t>(points - 1, 1))));
  }
  return timesteps;
}

std::vector<double> rounded(std::vector<double> values) {
  for (double& value : values) value = std::nearbyint(value);
  return values;
}

void check_steps(int64_t steps, int64_t train) {
  if (steps < 1 || steps > train)
    fail("steps: expected 1 to {} (num_train_timesteps), found {}", train, steps);
}

void check_timesteps(const std::vector<float>& timesteps, int64_t train) {
  for (const float t : timesteps)
    if (!(t >= 0 && t <= static_cast<float>(train - 1)))
      fail(
          "scheduler: timestep {} is outside of training's 0 to {}: steps_offset and {} timesteps "
          "do not fit together",
          t, train - 1, timesteps.size());
}

double interpolated(const std::vector<float>& values, double at) {
  const double last = static_cast<double>(values.size() - 1);
  if (at <= 0) return values.front();
  if (at >= last) return values.back();
  const auto i = static_cast<size_t>(at);
  const double low = values[i], high = values[i + 1];
  return (high - low) * (at - static_cast<double>(i)) + low;
}

double timestep_of_sigma(double sigma, const std::vector<float>& sigmas) {
  const double wanted = std::log(std::max(sigma, 1e-10));
  const auto logarithm = [&](size_t i) { return double{std::log(sigmas[i])}; };
  // sigmas rise with the timestep: the last one that is not above
  size_t low = static_cast<size_t>(
      std::upper_bound(sigmas.begin(), sigmas.end(), wanted,
                       [](double value, float s) { return value < double{std::log(s)}; }) -
      sigmas.begin());
  low = std::min(low == 0 ? 0 : low - 1, sigmas.size() - 2);
  const double share =
      std::clamp((logarithm(low) - wanted) / (logarithm(low) - logarithm(low + 1)), 0.0, 1.0);
  return (1 - share) * static_cast<double>(low) + share * static_cast<double>(low + 1);
}

SigmaCurve read_sigma_curve(SchedulerConfig& config) {
  const bool karras = config.flag("use_karras_sigmas", false);
  const bool exponential = config.flag("use_exponential_sigmas", false);
  config.refuse("use_beta_sigmas");
  if (karras && exponential)
    fail("{}: use_karras_sigmas and use_exponential_sigmas exclude each other", config.file());
  return karras ? SigmaCurve::karras : exponential ? SigmaCurve::exponential : SigmaCurve::none;
}

std::vector<double> curved_sigmas(SigmaCurve curve, double highest, double lowest, int64_t steps) {
  constexpr double kRho = 7;
  std::vector<double> sigmas;
  for (int64_t i = 0; i < steps; ++i) {
    const double at = steps > 1 ? static_cast<double>(i) / static_cast<double>(steps - 1) : 0;
    if (curve == SigmaCurve::karras) {
      const double high = std::pow(highest, 1 / kRho), low = std::pow(lowest, 1 / kRho);
      sigmas.push_back(std::pow(high + at * (low - high), kRho));
    } else {
      const double high = std::log(highest), low = std::log(lowest);
      sigmas.push_back(std::exp(high + at * (low - high)));
    }
  }
  return sigmas;
}

}  // namespace sumi::diffusion

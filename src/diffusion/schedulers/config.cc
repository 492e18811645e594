#include "diffusion/schedulers/config.h"

#include <algorithm>

#include "base/error.h"
#include "formats/bytes.h"
#include "formats/json.h"

namespace sumi::diffusion {

namespace {

// Every key of the schedulers that diffusers 0.42 lets exchange configurations.
constexpr const char* kKnownKeys[] = {"algorithm_type",
                                      "beta_end",
                                      "beta_schedule",
                                      "beta_start",
                                      "clip_sample",
                                      "clip_sample_range",
                                      "disable_corrector",
                                      "dynamic_thresholding_ratio",
                                      "rho",
                                      "sigma_data",
                                      "sigma_schedule",
                                      "euler_at_final",
                                      "final_sigmas_type",
                                      "flow_shift",
                                      "interpolation_type",
                                      "lambda_min_clipped",
                                      "lower_order_final",
                                      "noise_sampler_seed",
                                      "num_train_timesteps",
                                      "original_inference_steps",
                                      "predict_x0",
                                      "prediction_type",
                                      "rescale_betas_zero_snr",
                                      "sample_max_value",
                                      "set_alpha_to_one",
                                      "shift_terminal",
                                      "sigma_max",
                                      "sigma_min",
                                      "skip_prk_steps",
                                      "solver_order",
                                      "solver_p",
                                      "solver_type",
                                      "steps_offset",
                                      "thresholding",
                                      "time_shift_type",
                                      "timestep_scaling",
                                      "timestep_spacing",
                                      "timestep_type",
                                      "trained_betas",
                                      "use_beta_sigmas",
                                      "use_dynamic_shifting",
                                      "use_exponential_sigmas",
                                      "use_flow_sigmas",
                                      "use_karras_sigmas",
                                      "use_lu_lambdas",
                                      "variance_type"};

}  // namespace

void erase_default_values(nlohmann::json& object) {
  if (const auto defaults = object.find("_use_default_values");
      defaults != object.end() && defaults->is_array())
    for (const nlohmann::json& key : nlohmann::json(*defaults))
      if (key.is_string()) object.erase(key.get<std::string>());
}

SchedulerConfig::SchedulerConfig(const nlohmann::json& object, const std::string& file)
    : object_(object), file_(file) {
  if (!object.is_object()) fail("{}: expected an object", file);
}

bool SchedulerConfig::has(const std::string& key) {
  read_.insert(key);
  return formats::has_field(object_, key);
}

bool SchedulerConfig::flag(const std::string& key, bool missing) {
  read_.insert(key);
  return formats::optional_bool(object_, key, missing, file_);
}

int64_t SchedulerConfig::integer(const std::string& key, int64_t missing) {
  read_.insert(key);
  return formats::optional_int(object_, key, missing, file_);
}

double SchedulerConfig::number(const std::string& key, double missing) {
  read_.insert(key);
  return formats::optional_float(object_, key, missing, file_);
}

std::vector<double> SchedulerConfig::numbers(const std::string& key) {
  return has(key) ? formats::require_floats(object_, key, file_) : std::vector<double>();
}

std::string SchedulerConfig::word(const std::string& key, const std::string& missing,
                                  std::initializer_list<const char*> allowed) {
  read_.insert(key);
  const std::string value = formats::optional_string(object_, key, missing, file_);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  std::string list;
  for (const char* word : allowed) list += (list.empty() ? "" : ", ") + std::string(word);
  fail("{}: {}: expected one of {}, found {}", file_, key, list, formats::shown(value));
}

void SchedulerConfig::refuse(const std::string& key) {
  if (flag(key, false)) fail("{}: {}: true is not supported", file_, key);
}

void SchedulerConfig::finish() const {
  for (const auto& [key, value] : object_.items()) {
    const bool known =
        key.starts_with("_") || read_.contains(key) ||
        std::find(std::begin(kKnownKeys), std::end(kKnownKeys), key) != std::end(kKnownKeys);
    if (!known) fail("{}: {} is no key of any scheduler", file_, formats::shown(key));
  }
}

}  // namespace sumi::diffusion

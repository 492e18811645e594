// Noise schedulers: which noise levels a picture passes on its way from noise, and how the model's
// output becomes the next sample. They give diffusers' numbers (tests/diffusion/scheduler_test.cc),
// also for random steps.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/random.h"
#include "tensor/tensor.h"

namespace sumi::diffusion {

// Samples are f32 [batch, channels, height, width]: PyTorch's order, because noise is drawn in it.
// Only the batch axis matters otherwise (each picture is thresholded by itself), and the channels
// of a model that predicts variances.
//
//   scheduler->set_timesteps(20);
//   sample = noise * scheduler->init_noise_sigma();
//   for (size_t i = 0; i < scheduler->timesteps().size(); ++i) {
//     output = model(scheduler->scale_model_input(sample, i), scheduler->timesteps()[i]);
//     sample = scheduler->step(output, i, sample, generator);
//   }
// Image-to-image begins at a later i, with add_noise(latents, noise, i) as sample.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  // Plans `steps` steps and forgets the steps taken before. Throws Error if the training schedule
  // cannot be divided so.
  virtual void set_timesteps(int64_t steps) = 0;
  // One entry for each call of the model; PNDM and Heun call it more often than `steps`.
  const std::vector<float>& timesteps() const { return timesteps_; }
  // Entries of timesteps() that make one step: 2 for Heun. Image-to-image begins at a multiple.
  virtual int order() const { return 1; }
  // The standard deviation of the noise to begin with.
  virtual float init_noise_sigma() const { return 1; }
  virtual Tensor scale_model_input(const Tensor& sample, size_t i) const;

  // The next sample. Steps follow each other in order of i; some keep earlier outputs. The
  // generator is drawn from by the kinds that add noise. Throws Error if shapes do not fit.
  virtual Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
                      base::Generator& generator) = 0;
  // A clean sample with noise as of timesteps()[i].
  virtual Tensor add_noise(const Tensor& original, const Tensor& noise, size_t i) const = 0;

  // For DDIM: 0 (the default) adds no noise, 1 as much as DDPM. Throws Error for the others.
  virtual void set_eta(double eta);

  // What the model predicts: "epsilon", "v_prediction" or "sample".
  const std::string& prediction_type() const { return prediction_type_; }

 protected:
  std::vector<float> timesteps_;
  std::string prediction_type_;
};

// A scheduler_config.json. diffusers writes the default of lambda_min_clipped as -Infinity, which
// is no JSON: it is read as null, which means the default. Throws Error on anything else that is no
// JSON.
nlohmann::json read_scheduler_config(const std::string& path);

// A scheduler as its scheduler_config.json says (`file` names it in messages). Keys that belong to
// other schedulers are ignored, as diffusers does; keys that belong to none throw Error, as do
// values that are not known.
std::unique_ptr<Scheduler> make_scheduler(const nlohmann::json& config, const std::string& file);

// Another scheduler with the same configuration, as from_config does: ddpm, ddim, pndm, euler,
// euler-a, heun, lms, dpmpp-2m, dpmpp-2m-karras, dpmpp-sde, unipc, lcm.
std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const nlohmann::json& config,
                                          const std::string& file);
const std::vector<std::string>& scheduler_names();

}  // namespace sumi::diffusion

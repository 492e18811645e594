// A picture model of the Stable Diffusion kind: its parts, loaded when first asked for. One without
// autoencoder whose UNet sees three channels works on pixels.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "diffusion/int8_layers.h"
#include "diffusion/lora.h"
#include "diffusion/picture_files.h"
#include "diffusion/prompt.h"
#include "diffusion/safety_checker.h"
#include "diffusion/scheduler.h"
#include "models/diffusion/controlnet.h"
#include "models/diffusion/unet.h"
#include "models/diffusion/vae.h"
#include "models/encoders/text_encoder.h"
#include "text/tokenizer.h"

namespace sumi::diffusion {

struct PictureModelOptions {
  PictureFilesOptions files;
  ops::PackedWeight::Compute compute = ops::PackedWeight::Compute::f32;
  bool int8_weights = false;  // of UNet and ControlNets; the autoencoder, small and sensitive, has `compute`
  bool int8_inputs = true;    // with int8_weights: see nn::LoadOptions
  std::string int8_layers;  // with int8_weights: the file of the layers that keep `compute`, int8_layers.h; or ""
  // With int8_weights: gets the layers of the UNet and of each ControlNet, see nn/int8_trial.h.
  bool int8_trials = false;
  bool low_memory = false;  // parts are released as soon as a picture's next stage begins
  std::vector<std::pair<std::string, float>> loras;             // file, weight
  std::vector<std::pair<std::string, std::string>> embeddings;  // file, word ("": the file's)
  std::vector<std::string> controlnets;                         // folders
  std::string unet_config;  // of a UNet that is still to be trained, in place of the model's
};

class PictureModel {
 public:
  // Reads configurations and headers, and checks that every part is there and of a known kind;
  // loads no weights. Throws Error naming file and field.
  PictureModel(const std::string& path, const PictureModelOptions& options);

  const PictureFiles& files() const { return *files_; }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  const models::UNetConfig& unet_config() const { return unet_config_; }
  size_t controlnet_count() const { return controlnets_.size(); }
  // Pixels per latent, in each direction.
  int64_t factor() const { return factor_; }
  // Width and height when nobody says another.
  int64_t default_size() const { return sample_size_ * factor_; }
  // The folder's scheduler, or the one of that name (see scheduler_names()) with its configuration.
  std::unique_ptr<Scheduler> scheduler(const std::string& name = "") const;

  // Of an upscaler, for the noise on the small picture; null for others.
  std::unique_ptr<Scheduler> low_res_scheduler() const;

  const models::TextEncoder& text_encoder();
  // Stable Diffusion XL's second pair.
  bool has_text_encoder_2() const { return tokenizer_2_ != nullptr; }
  const text::Tokenizer& tokenizer_2() const { return *tokenizer_2_; }
  const models::TextEncoder& text_encoder_2();
  // An empty negative prompt stands for zeros, not for a text without words (XL).
  bool empty_is_zero() const { return files_->flag("force_zeros_for_empty_prompt", true); }
  const Concepts& concepts();
  const models::UNet& unet();
  const models::ControlNet& controlnet(size_t index);
  // With int8_trials: of the UNet and ControlNets, whose layers are there when they are loaded.
  std::vector<TriedNetwork> tried_networks() const;
  // With `encoder`, what was loaded without one is loaded again.
  const models::Vae& vae(bool encoder);
  const SafetyChecker* safety_checker();  // null if there is none

  // Gives up the text encoders, for callers that have encoded all their texts; the next use loads them again.
  void release_text();
  // From here on parts are given up as with low_memory: the next picture is the last one.
  void last_picture() { low_memory_ = true; }
  // With low_memory: give up what the next stages do not need.
  void text_done();
  void denoising_done();
  void checking_done();

 private:
  void keep_layers(const std::string& path);

  PictureModelOptions options_;
  std::unique_ptr<PictureFiles> files_;
  std::vector<std::unique_ptr<PictureFiles>> nets_;  // of the ControlNets
  nn::LoadOptions load_, unet_load_;
  std::vector<nn::LoadOptions> control_load_;  // of each ControlNet
  LoraSet loras_;
  models::UNetConfig unet_config_;
  int64_t factor_ = 8, sample_size_ = 64;
  bool in_pixels_ = false, low_memory_ = false, vae_has_encoder_ = false, concepts_read_ = false;
  Concepts concepts_;
  std::unique_ptr<text::Tokenizer> tokenizer_, tokenizer_2_;
  std::unique_ptr<models::TextEncoder> text_encoder_, text_encoder_2_;
  std::unique_ptr<models::UNet> unet_;
  std::vector<std::unique_ptr<models::ControlNet>> controlnets_;
  std::unique_ptr<models::Vae> vae_;
  std::unique_ptr<SafetyChecker> safety_checker_;
};

}  // namespace sumi::diffusion

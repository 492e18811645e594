// ControlNetModel: a copy of a UNet's first half that sees a picture of the condition, and whose
// results are added to the UNet's skips and middle through 1x1 convolutions that begin as zeros
// (arXiv:2302.05543). Numerical reference: diffusers' controlnet.py.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/diffusion/unet.h"

namespace sumi::models {

struct ControlScale {
  float scale = 1;     // conditioning_scale: of all results
  bool guess = false;  // guess mode: from 0.1 for the first skip to 1 for the middle
};

class ControlNet {
 public:
  ControlNet(const Config& config, const formats::TensorSource& source,
             const nn::LoadOptions& options);
  // A diffusers folder: config.json and its weights.
  static std::unique_ptr<ControlNet> open(const std::string& folder,
                                          const nn::LoadOptions& options);
  // A fresh net for the UNet that these files hold: the shared weights are copied, the hint encoder
  // is random after `seed` (its last layer zero), the outputs are zero. Trainable. `config` is what
  // controlnet_config_json() made of the UNet's.
  static std::unique_ptr<ControlNet> from_unet(const Config& config,
                                               const formats::TensorSource& unet, uint64_t seed,
                                               ops::Products products = ops::Products::f32);

  // condition [B, 8 H, 8 W, condition_channels] in [0, 1], in RGB order (a net that wants BGR turns it).
  // Differentiable if loaded as trainable.
  UNetResiduals operator()(const UNetInput& input, const Tensor& condition,
                           const ControlScale& scale = {}) const;

  const ControlNetConfig& config() const { return config_; }
  const std::vector<std::pair<std::string, Tensor>>& parameters() const {
    return parameters_.all();
  }
  size_t weight_bytes() const { return weight_bytes_; }
  void set_checkpointing(bool on) { checkpointing_ = on; }

 private:
  ControlNet(const Config& config, nn::WeightLoader loader);
  void load_hint(nn::WeightLoader& loader);
  Tensor hint(const Tensor& condition) const;

  ControlNetConfig config_;
  UNetEncoder encoder_;
  std::vector<nn::Conv2d> hint_;  // all but the last followed by SiLU
  std::vector<nn::Conv2d> outputs_;
  nn::Conv2d mid_output_;
  nn::Parameters parameters_;
  size_t weight_bytes_ = 0;
  bool checkpointing_ = false;
};

}  // namespace sumi::models

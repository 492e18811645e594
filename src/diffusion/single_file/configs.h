// The configurations that diffusers and transformers would have written for the networks of a
// checkpoint in the original naming, from its shapes. What shapes do not tell is as in the
// published models: 8 heads, or 64 channels each where transformers begin with linear layers;
// groups of 32.
#pragma once

#include <nlohmann/json.hpp>

#include "diffusion/single_file/layout.h"

namespace sumi::diffusion {

// Each throws Error naming a tensor that is missing or of another form. `sample_size`: pixels or
// latents of a side in training.
nlohmann::json unet_config_of(const Section& net, int64_t sample_size);
nlohmann::json controlnet_config_of(const Section& net);
nlohmann::json vae_config_of(const Section& net, int64_t sample_size, double scaling_factor);
nlohmann::json clip_config_of(const Section& net);
// Without the last layer and the projection, or `whole`.
nlohmann::json open_clip_config_of(const Section& net, bool whole);
// Stable Diffusion's schedule, as in the published folders: PNDM, or DDIM for models of velocity,
// or Euler for XL.
nlohmann::json scheduler_config_of(const std::string& prediction_type, bool xl);

// The widths of a ControlNet's hint encoder.
std::vector<int64_t> hint_widths(const Section& net);

}  // namespace sumi::diffusion

// The flags of `sumi image`, and what they ask for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/common.h"
#include "diffusion/pipeline.h"

namespace sumi::cli {

struct ImageFlags {
  std::string model, prompt, negative_prompt, output, scheduler, image, mask, init_latents, preview,
      from_png, save_latents, variant, config, prediction_type, int8_layers;
  int64_t width = 0, height = 0, steps = 20, count = 1, clip_skip = 0, noise_level = 20,
          deep_cache = 1;
  double guidance_scale = 7.5, guidance_rescale = 0, eta = 0, token_merging = 0;
  std::optional<double> strength;
  std::optional<uint64_t> seed;
  std::vector<std::string> controlnets, conditions, preprocess, loras, embeddings;
  std::vector<double> conditioning_scales, control_starts, control_ends;
  bool no_safety_checker = false;
  bool guess_mode = false, low_memory = false, tiled = false, stats = false, json = false;
  ComputeFlags compute;
};

void add_image_flags(CLI::App& verb, ImageFlags& flags);
// Those among them that say how to compute: --dtype, --threads, --low-memory, --tiled.
void add_picture_compute_flags(CLI::App& verb, ImageFlags& flags);

// Throw CLI::ValidationError or Error naming the flag.
diffusion::PictureModelOptions model_options(const ImageFlags& flags);
diffusion::PictureRequest picture_request(const ImageFlags& flags);  // reads pictures

}  // namespace sumi::cli

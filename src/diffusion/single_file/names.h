// The original names of a network's tensors turned into those of diffusers and transformers, as
// diffusers' from_single_file does (loaders/single_file_utils.py is the reference).
#pragma once

#include <vector>

#include "diffusion/single_file/layout.h"
#include "diffusion/single_file/renamed_tensors.h"

namespace sumi::diffusion {

// Each throws Error naming a tensor that has no place in such a network.
std::vector<RenamedTensor> unet_names(const Section& net);
std::vector<RenamedTensor> controlnet_names(const Section& net);
std::vector<RenamedTensor> vae_names(const Section& net);
std::vector<RenamedTensor> clip_names(const Section& net);  // transformers' own, kept
// OpenCLIP's text encoder. Stable Diffusion 2 was trained on the states before its last layer,
// which is left out, as is the projection; XL has all (`whole`).
std::vector<RenamedTensor> open_clip_names(const Section& net, bool whole);

}  // namespace sumi::diffusion

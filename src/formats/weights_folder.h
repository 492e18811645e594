// The weights of a Hugging Face folder, in one file or several.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/tensor_source.h"

namespace sumi::formats {

// The first that is there of: model.safetensors, the shards of model.safetensors.index.json,
// pytorch_model.bin, the shards of pytorch_model.bin.index.json, and the same four with the names
// of diffusers' parts (diffusion_pytorch_model.safetensors ...). Shards must be plain names inside
// the folder.
//
// A variant ("fp16", "non_ema") has its name before the last dot, as diffusers writes it:
// model.fp16.safetensors, model.safetensors.index.fp16.json. It is preferred if given; a folder
// without it gives what it has. If there are only variants, and one alone, that is taken.
// Throws Error naming what is missing or at fault.
std::unique_ptr<TensorSource> open_weights_folder(const std::string& folder,
                                                  const std::string& variant = "");

// The variants that a folder has, sorted.
std::vector<std::string> weight_variants(const std::string& folder);

}  // namespace sumi::formats

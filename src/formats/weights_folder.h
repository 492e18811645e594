// The weights of a Hugging Face folder, in one file or several.
#pragma once

#include <memory>
#include <string>

#include "formats/tensor_source.h"

namespace sumi::formats {

// The first that is there of: model.safetensors, the shards of model.safetensors.index.json,
// pytorch_model.bin, the shards of pytorch_model.bin.index.json, and the same four with the names
// of diffusers' parts (diffusion_pytorch_model.safetensors ...). Shards must be plain names inside
// the folder. Throws Error naming what is missing or at fault.
std::unique_ptr<TensorSource> open_weights_folder(const std::string& folder);

}  // namespace sumi::formats

// A file of tensors, whatever its format.
#pragma once

#include <memory>
#include <string>

#include "formats/tensor_source.h"

namespace sumi::formats {

// A PyTorch checkpoint if the name ends in .ckpt, .bin, .pt or .pth, else a safetensors file. Throws
// Error naming the file.
std::unique_ptr<TensorSource> open_tensors(const std::string& path);

}  // namespace sumi::formats

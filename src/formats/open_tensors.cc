#include "formats/open_tensors.h"

#include <filesystem>

#include "formats/safetensors.h"
#include "formats/torch_file.h"

namespace sumi::formats {

std::unique_ptr<TensorSource> open_tensors(const std::string& path) {
  const std::string end = std::filesystem::path(path).extension().string();
  if (end == ".ckpt" || end == ".bin" || end == ".pt" || end == ".pth")
    return std::make_unique<TorchFile>(path);
  return std::make_unique<SafetensorsFile>(path);
}

}  // namespace sumi::formats

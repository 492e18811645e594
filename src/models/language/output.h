// What a conversion writes: nothing is left of one that fails.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "formats/tensor_source.h"
#include "models/language/convert.h"
#include "models/language/weight_names.h"

namespace sumi::models {

// Removes an unfinished file or folder unless it was renamed.
class Unfinished {
 public:
  explicit Unfinished(std::string path);
  ~Unfinished();
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  const std::string& path() const { return path_; }
  void rename_to(const std::string& target);  // throws Error

 private:
  std::string path_;
  bool kept_ = false;
};

// Throw Error if `out` is there and may not be replaced, if its folder is not there, or if the disk
// has not that much room.
void check_target(const std::string& out, bool overwrite);
void check_room(const std::string& out, uint64_t bytes);
// The same for a safetensors folder, which must be empty and cannot hold blocks.
void check_folder_target(const std::string& out, const ConvertOptions& options);

// GGUF's norms include what Gemma adds to them.
bool is_norm(Slot slot);
Tensor plus(const Tensor& x, float offset);  // f32

// [N, K] or [N] of any floating or block type in another. Throws Error naming a type that is not
// written.
Tensor recoded(const Tensor& x, DType dtype, const std::string& name);

// PyTorch's name for a floating type.
const char* torch_name(DType dtype);

// How much of a source's bytes was used.
class ByteProgress {
 public:
  ByteProgress(const formats::TensorSource& source, std::function<void(double)> report);
  void done(const formats::TensorSource& source, const std::string& name);  // releases the tensor

 private:
  std::function<void(double)> report_;
  int64_t total_ = 0, done_ = 0;
};

}  // namespace sumi::models

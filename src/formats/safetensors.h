// safetensors files.
// Format: huggingface/safetensors README. The header is capped at 100 MB, as in the reference;
// spans must be inside the file, ordered, without overlap or hole, and equal to shape times element
// size.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/memory.h"
#include "formats/tensor_producer.h"
#include "formats/tensor_source.h"

namespace sumi::formats {

class SafetensorsFile : public TensorSource {
 public:
  explicit SafetensorsFile(const std::string& path);

  std::string describe() const override { return path_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool has(const std::string& name) const override { return index_.count(name) > 0; }
  // As in TensorSource, but a tensor whose data is not aligned to its elements is copied.
  Tensor get(const std::string& name) const override;
  void release(const std::string& name) const override;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  size_t index_of(const std::string& name) const;

  std::string path_;
  std::shared_ptr<base::MappedFile> file_;
  std::vector<TensorInfo> tensors_;
  std::vector<uint64_t> offsets_;
  std::unordered_map<std::string, size_t> index_;
  std::map<std::string, std::string> metadata_;
};

// Writes tensors to a file: temporary name first, then renamed.
void write_safetensors(const std::string& path, const std::vector<TensorProducer>& tensors,
                       const std::map<std::string, std::string>& metadata = {});
void write_safetensors(const std::string& path,
                       const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace sumi::formats

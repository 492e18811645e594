// Part of a file's tensors under other names.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "formats/tensor_source.h"

namespace sumi::diffusion {

// How a tensor comes from a stored one.
struct RenamedTensor {
  std::string name, stored;
  int64_t part = 0, parts = 1;  // the part-th of so many equal ranges of the rows
  bool transposed = false;      // a matrix [I, O] becomes [O, I]
  bool matrix = false;          // a 1x1 convolution [O, I, 1, 1] becomes [O, I]
};

class RenamedTensors : public formats::TensorSource {
 public:
  // Throws Error naming file and tensor if a shape does not allow it, or a name is there twice.
  RenamedTensors(std::shared_ptr<const formats::TensorSource> file,
                 const std::vector<RenamedTensor>& tensors);

  std::string describe() const override { return file_->describe(); }
  const std::vector<formats::TensorInfo>& tensors() const override { return tensors_; }
  bool has(const std::string& name) const override { return index_.count(name) > 0; }
  Tensor get(const std::string& name) const override;
  void release(const std::string& name) const override;

 private:
  size_t index_of(const std::string& name) const;

  std::shared_ptr<const formats::TensorSource> file_;
  std::vector<RenamedTensor> renamed_;
  std::vector<formats::TensorInfo> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace sumi::diffusion

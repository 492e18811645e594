// PyTorch checkpoints (.bin, .pt, .pth): the zip container of torch.save since 1.6, and the one
// before.
//
// The pickle inside is read as data (formats/pickle.h): nothing in a file can run. Elements are
// mapped, not read; a tensor whose elements do not lie in row-major order, or not aligned, is
// copied by get().
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/memory.h"
#include "formats/tensor_source.h"
#include "formats/torch_state.h"

namespace sumi::formats {

class TorchFile : public TensorSource {
 public:
  // Maps and checks the file. Throws Error naming the file, and the tensor, zip entry, opcode or
  // global at fault.
  explicit TorchFile(const std::string& path);

  // Whether a file begins as such checkpoints do. Throws Error if it cannot be read.
  static bool recognizes(const std::string& path);

  std::string describe() const override { return path_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool has(const std::string& name) const override { return index_.count(name) > 0; }
  Tensor get(const std::string& name) const override;
  void release(const std::string& name) const override;

 private:
  struct Span {
    uint64_t begin, bytes;
  };
  struct Place {
    uint64_t begin;                // of the first element, in the file
    uint64_t extent;               // bytes from there to the end of the last element
    std::vector<int64_t> strides;  // in elements; empty: row-major
  };

  void read_zip();
  void read_legacy();
  void place_tensors(std::vector<StoredTensor> stored);
  size_t index_of(const std::string& name) const;

  std::string path_;
  std::shared_ptr<base::MappedFile> file_;
  std::map<std::string, Span> storages_;  // in the file
  std::vector<TensorInfo> tensors_;
  std::vector<Place> places_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace sumi::formats

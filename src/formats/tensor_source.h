// A set of named tensors in one or several files, whatever the format.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::formats {

struct TensorInfo {
  std::string name;
  Shape shape;  // row-major: the last size changes fastest
  DType dtype;
  std::string file;
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual std::string describe() const = 0;                    // the path, for messages
  virtual const std::vector<TensorInfo>& tensors() const = 0;  // in file order
  virtual bool has(const std::string& name) const = 0;
  // A view of the mapped file. Throws Error naming the tensor if there is none.
  virtual Tensor get(const std::string& name) const = 0;
  // The tensor was packed or copied: its pages need not stay in memory.
  virtual void release(const std::string& name) const = 0;
};

}  // namespace sumi::formats

// A tensor to be written that is made only when its turn comes, so that a whole model need not be
// in memory.
#pragma once

#include <functional>
#include <string>

#include "tensor/tensor.h"

namespace sumi::formats {

struct TensorProducer {
  std::string name;
  Shape shape;
  DType dtype;
  std::function<Tensor()> make;  // called once, by the writer

  static TensorProducer of(const std::string& name, const Tensor& tensor) {
    return {name, tensor.shape(), tensor.dtype(), [tensor] { return tensor; }};
  }
  // make()'s tensor. Throws Error if it is not what was announced.
  Tensor checked() const;
};

}  // namespace sumi::formats

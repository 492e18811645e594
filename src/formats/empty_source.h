// A source without tensors, for networks that begin from nothing.
#pragma once

#include "base/error.h"
#include "formats/tensor_source.h"

namespace sumi::formats {

class EmptySource : public TensorSource {
 public:
  std::string describe() const override { return "a new network"; }
  const std::vector<TensorInfo>& tensors() const override { return none_; }
  bool has(const std::string&) const override { return false; }
  Tensor get(const std::string& name) const override { fail("a new network has no {}", name); }
  void release(const std::string&) const override {}

 private:
  std::vector<TensorInfo> none_;
};

}  // namespace sumi::formats

// The trainable tensors of a model under their dotted names, as in its checkpoints.
#pragma once

#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::nn {

class Parameters {
 public:
  // Throws Error if the name is taken.
  void add(const std::string& name, const Tensor& tensor);
  // In the order they were added.
  const std::vector<std::pair<std::string, Tensor>>& all() const { return all_; }
  // Throws Error if there is none.
  Tensor get(const std::string& name) const;

 private:
  std::vector<std::pair<std::string, Tensor>> all_;
  std::unordered_set<std::string> names_;
};

}  // namespace sumi::nn

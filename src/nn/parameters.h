// The trainable tensors of a model under their dotted names, as in its checkpoints.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::nn {

// How Hugging Face checkpoints keep a matrix [N, K] or vector [N].
struct Arrangement {
  bool transposed = false;         // as [K, N]
  std::vector<int64_t> row_order;  // our row i is theirs row_order[i]; empty: the same
};

class Parameters {
 public:
  // Throws Error if the name is taken.
  void add(const std::string& name, const Tensor& tensor, const Arrangement& arrangement = {});
  // In the order they were added.
  const std::vector<std::pair<std::string, Tensor>>& all() const { return all_; }
  // Throws Error if there is none.
  Tensor get(const std::string& name) const;
  // All of them as Hugging Face checkpoints keep them: copies where elements lie otherwise.
  std::vector<std::pair<std::string, Tensor>> exported() const;

 private:
  std::vector<std::pair<std::string, Tensor>> all_;
  std::vector<Arrangement> arrangements_;
  std::unordered_set<std::string> names_;
};

}  // namespace sumi::nn

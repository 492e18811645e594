// Weights of a model that begins from nothing, as PyTorch initialises its layers.
#pragma once

#include <string>
#include <unordered_map>

#include "base/random.h"
#include "tensor/tensor.h"

namespace sumi::nn {

// Linear layers and convolutions: weight and bias uniform in +-1 / sqrt(fan-in). Norms: ones and
// zeros. Embeddings: normal. Asked for in the order of the model's layers, a bias after its weight.
class InitialWeights {
 public:
  explicit InitialWeights(uint64_t seed) : generator_(seed) {}

  // "<layer>.weight" or "<layer>.bias". is_embedding tells tables from matrices.
  Tensor make(const std::string& name, const Shape& shape, bool is_embedding);

 private:
  base::Generator generator_;
  std::unordered_map<std::string, float> bounds_;  // of each layer
};

}  // namespace sumi::nn

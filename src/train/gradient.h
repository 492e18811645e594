// Reading gradients, whichever type they waited in.
#pragma once

#include <utility>

#include "tensor/tensor.h"

namespace sumi::train {

// A gradient as it waited for its use, f32 or bf16, times a factor.
class Gradient {
 public:
  Gradient(Tensor stored, float factor) : stored_(std::move(stored)), factor_(factor) {}

  // Elements [begin, begin + count): where they lie, or in `buffer`.
  const float* read(int64_t begin, int64_t count, float* buffer) const;
  // All in f32.
  Tensor whole() const;

 private:
  Tensor stored_;
  float factor_;
};

}  // namespace sumi::train

// What a training learns: the only part of it that knows texts or pictures.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::train {

class Task {
 public:
  virtual ~Task() = default;

  virtual int64_t size() const = 0;  // examples, numbered from 0
  // How much of these examples counts in a mean over several batches (tokens with a target,
  // pictures). Known before anything is computed.
  virtual double weight(std::span<const int64_t> examples) const = 0;
  // What speed is counted in: tokens, or pictures.
  virtual int64_t units(std::span<const int64_t> examples) const = 0;
  // A batch in the pieces that go through the model one after the other, so that each fits in memory.
  // The step's loss and gradients are those of the whole batch.
  virtual std::vector<std::vector<int64_t>> pieces(std::span<const int64_t> batch) const {
    return {{batch.begin(), batch.end()}};
  }
  // Mean loss of these examples -> [1]; differentiable when gradients are recorded. Everything
  // random in it comes from `key` alone.
  virtual Tensor loss(std::span<const int64_t> examples, uint64_t key) = 0;
};

}  // namespace sumi::train

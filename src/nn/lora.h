// Low-rank adapters of linear layers, arXiv:2106.09685, with peft's names and scaling.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ops/linear.h"

namespace sumi::nn {

// What decides which inputs a training's dropout leaves out: the same key and step give the same,
// so that a step can be computed again. Shared by all adapters of a model.
struct DropoutClock {
  uint64_t seed = 0, step = 0;
  bool on = false;  // off outside training steps
};

// y += scale B A dropout(x)
class Lora {
 public:
  // Trainable: a [r, K] and b [N, r] f32. `index` tells adapters apart for dropout.
  Lora(Tensor a, Tensor b, float scale, float dropout, std::shared_ptr<const DropoutClock> clock,
       uint64_t index);
  // Packed, for inference: each output is reduced in one fixed order, as in the layers themselves.
  Lora(const Tensor& a, const Tensor& b, float scale);

  int64_t outputs() const { return packed_b_ ? packed_b_->n() : b_.size(0); }
  int64_t inputs() const { return packed_a_ ? packed_a_->k() : a_.size(1); }

  // y [..., M] with its columns [begin, begin + N) changed in place.
  Tensor add_to(const Tensor& y, int64_t begin, const Tensor& x) const;

 private:
  Tensor a_, b_;
  float scale_ = 1, dropout_ = 0;
  std::shared_ptr<const DropoutClock> clock_;
  uint64_t index_ = 0;
  std::shared_ptr<const ops::PackedWeight> packed_a_, packed_b_;
};

// A linear layer that is being loaded: its dotted name as in Hugging Face checkpoints, [n, k], and
// how those arrange its rows (empty: in order), which is how adapter files arrange B's.
struct LoraSite {
  std::string module;
  int64_t n = 0, k = 0;
  std::vector<int64_t> row_order;
  bool transposed = false;  // they keep [k, n]
};
// Gives a layer its adapter, or null.
// Changes a plain weight [n, k] while it is loaded.
using WeightEdit = std::function<void(const LoraSite&, Tensor& weight)>;
using LoraSource = std::function<std::shared_ptr<const Lora>(const LoraSite&)>;

}  // namespace sumi::nn

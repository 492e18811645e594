// Layers that can be computed in int8 one at a time, to see which of them suffer from it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/conv.h"

namespace sumi::nn {

// Filled by a WeightLoader whose options have it: each layer is then loaded twice, as without int8 and with it.
class Int8Trial {
 public:
  struct Layer {
    std::string name;  // as checkpoints have it, without ".weight"
    std::shared_ptr<ops::PackedConv> used, other;
    int64_t weights() const { return used->shape()[0] * used->shape()[1] * used->shape()[2] * used->shape()[3]; }
  };

  void add(Layer layer) { layers_.push_back(std::move(layer)); }
  const std::vector<Layer>& layers() const { return layers_; }
  // Exchanges what the layer is computed with. Not while the model runs.
  void exchange(size_t index) { std::swap(*layers_.at(index).used, *layers_.at(index).other); }

 private:
  std::vector<Layer> layers_;
};

}  // namespace sumi::nn

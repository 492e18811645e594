#include "nn/initial_weights.h"

#include <cmath>

#include "base/error.h"

namespace sumi::nn {

Tensor InitialWeights::make(const std::string& name, const Shape& shape, bool is_embedding) {
  Tensor tensor = Tensor::empty(shape);
  const std::span<float> values(tensor.f32(), static_cast<size_t>(tensor.numel()));
  if (is_embedding) {
    generator_.randn(values);
    return tensor;
  }
  const size_t dot = name.rfind('.');
  const std::string layer = name.substr(0, dot);
  const bool is_weight = dot != std::string::npos && name.substr(dot) == ".weight";
  if (is_weight && shape.size() >= 2)
    bounds_[layer] = 1 / std::sqrt(static_cast<float>(tensor.numel() / shape[0]));
  const auto bound = bounds_.find(layer);
  if (bound == bounds_.end()) return Tensor::full(shape, is_weight ? 1.0f : 0.0f);  // of a norm
  generator_.rand(values);
  for (float& value : values) value = bound->second * (2 * value - 1);
  return tensor;
}

}  // namespace sumi::nn

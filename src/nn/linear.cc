#include "nn/linear.h"

#include <algorithm>

#include "ops/bf16.h"
#include "ops/elementwise.h"
#include "ops/shape.h"
#include "ops/token_rows.h"

namespace sumi::nn {

Linear::Linear(std::vector<Part> parts, ops::Products products)
    : parts_(std::move(parts)), products_(products) {}

Linear::Linear(std::vector<Packed> packed) : packed_(std::move(packed)) {}

Linear::Linear(std::shared_ptr<const ops::PackedConv> packed, Tensor bias)
    : conv_(std::move(packed)), conv_bias_(std::move(bias)) {}

Tensor Linear::operator()(const Tensor& x, Tensor residual) const {
  if (conv_ && adapters_.empty()) return ops::linear(x, *conv_, conv_bias_, std::move(residual));
  return ops::add((*this)(x), residual);
}

Tensor Linear::operator()(const Tensor& x) const {
  if (ops::is_bf16(x) && !adapters_.empty()) return ops::narrow((*this)(ops::widen(x)));
  Tensor y = base(x);
  for (const Adapter& adapter : adapters_) y = adapter.lora->add_to(y, adapter.begin, x);
  if (token_rows_.defined()) y = ops::replace_columns(y, token_rows_.begin, x, token_rows_.rows);
  return y;
}

std::vector<Tensor> Linear::weights() const {
  if (parts_.size() > 1) fail("linear: the weights of {} parts", parts_.size());
  std::vector<Tensor> weights;
  if (!parts_.empty()) weights = {parts_[0].weight, parts_[0].bias};
  if (token_rows_.defined()) weights.push_back(token_rows_.rows);
  return weights;
}

Linear Linear::with_weights(const std::vector<Tensor>& weights) const {
  Linear other = *this;
  if (!parts_.empty()) other.parts_[0] = {weights.at(0), weights.at(1)};
  if (token_rows_.defined()) other.token_rows_.rows = weights.back();
  return other;
}

int64_t Linear::outputs_of_part(size_t part) const {
  return packed_.empty() ? parts_[part].weight.size(0) : packed_[part].weight->n();
}

Tensor Linear::part_output(size_t part, const Tensor& x) const {
  if (packed_.empty()) return ops::linear(x, parts_[part].weight, parts_[part].bias, products_);
  return ops::linear(x, *packed_[part].weight, packed_[part].bias);
}

std::vector<Tensor> Linear::outputs(const Tensor& x) const {
  std::vector<Tensor> outputs;
  size_t adapters = 0;
  int64_t begin = 0;
  for (size_t part = 0; part < part_count(); ++part) {
    const int64_t end = begin + outputs_of_part(part);
    Tensor y = part_output(part, x);
    for (const Adapter& adapter : adapters_) {
      if (adapter.begin < begin || adapter.begin + adapter.lora->outputs() > end) continue;
      y = adapter.lora->add_to(y, adapter.begin - begin, x);
      ++adapters;
    }
    outputs.push_back(y);
    begin = end;
  }
  if (outputs.empty() || token_rows_.defined() || adapters != adapters_.size()) return {(*this)(x)};
  return outputs;
}

void Linear::add_adapter(int64_t begin, std::shared_ptr<const Lora> adapter) {
  adapters_.push_back({begin, std::move(adapter)});
}

Tensor Linear::base(const Tensor& x) const {
  if (conv_) return ops::linear(x, *conv_, conv_bias_);
  if (part_count() == 0) fail("linear: the layer has no weight");
  if (part_count() == 1) return part_output(0, x);
  std::vector<Tensor> outputs;
  outputs.reserve(part_count());
  for (size_t part = 0; part < part_count(); ++part) outputs.push_back(part_output(part, x));
  return ops::concat_last(outputs);
}

bool Linear::rounds() const {
  return std::ranges::any_of(packed_, [](const Packed& packed) {
    return std::ranges::any_of(packed.weight->segments(), [](const kernels::PackedMatrix& matrix) {
      return matrix.code != kernels::CodeKind::f32 && !matrix.exact;
    });
  });
}

size_t Linear::packed_bytes() const {
  size_t total = 0;
  for (const Packed& packed : packed_) total += packed.weight->bytes();
  return total;
}

}  // namespace sumi::nn

// Linear layers.
#pragma once

#include <memory>
#include <vector>

#include "nn/lora.h"
#include "nn/token_rows.h"
#include "ops/conv.h"
#include "ops/linear.h"
#include "tensor/tensor.h"

namespace sumi::nn {

// One or several weights on the same input, their outputs side by side: y[..., N] = x[..., K] W^T +
// b with the rows of all parts under one another. For inference the parts are one packed matrix;
// for training each stays the parameter its checkpoint knows, or is packed by itself.
class Linear {
 public:
  struct Part {
    Tensor weight;  // [Ni, K]
    Tensor bias;    // [Ni] or undefined
  };

  struct Packed {
    std::shared_ptr<const ops::PackedWeight> weight;
    Tensor bias;  // [its N] f32 or undefined
  };

  Linear() = default;
  // Plain; differentiable.
  explicit Linear(std::vector<Part> parts, ops::Products products = ops::Products::f32);
  explicit Linear(std::vector<Packed> packed);
  // Packed as a 1x1 convolution [N, K, 1, 1]: faster for pictures' thousands of rows, but outside the
  // rule that a row's bits do not depend on the others.
  Linear(std::shared_ptr<const ops::PackedConv> packed, Tensor bias);

  // The plain weights, empty when packed.
  const std::vector<Part>& parts() const { return parts_; }
  // Whether the result is value * gelu(gate) of what the weight gives, half as wide.
  bool gated() const { return conv_ && conv_->gated(); }
  // Whether it multiplies int8 by int8, as pictures' layers do.
  bool int8() const { return conv_ && conv_->tiles() && conv_->tiles()->int8; }
  bool has_adapters() const { return !adapters_.empty(); }
  ops::Products products() const { return products_; }  // of the plain weights

  bool defined() const { return !packed_.empty() || conv_ || !parts_.empty(); }
  Tensor operator()(const Tensor& x) const;  // [..., K] -> [..., N]
  // The outputs of each part, where adapters are of one part each; else one tensor [..., N]. Training is spared a copy
  // there and, of its gradient, another.
  std::vector<Tensor> outputs(const Tensor& x) const;
  // Plus residual [..., N]; its memory may be reused if this is its only handle.
  Tensor operator()(const Tensor& x, Tensor residual) const;

  // A head: output features of added tokens, for which the weight has rows of another content.
  void set_token_rows(TokenRows added) { token_rows_ = std::move(added); }
  // What can be trained in a layer of one plain part or none, adapters aside: its weight and bias, and
  // the rows of added tokens; and the layer with others of these.
  std::vector<Tensor> weights() const;
  Linear with_weights(const std::vector<Tensor>& weights) const;

  // Adds an adapter to output features [begin, begin + its outputs).
  void add_adapter(int64_t begin, std::shared_ptr<const Lora> adapter);

  // Packed, and not in f32 alone: products round their operands.
  bool rounds() const;
  size_t packed_bytes() const;

 private:
  Tensor base(const Tensor& x) const;
  // Of parts, plain or packed.
  size_t part_count() const { return parts_.size() + packed_.size(); }
  int64_t outputs_of_part(size_t part) const;
  Tensor part_output(size_t part, const Tensor& x) const;

  struct Adapter {
    int64_t begin;
    std::shared_ptr<const Lora> lora;
  };
  std::vector<Part> parts_;
  ops::Products products_ = ops::Products::f32;
  std::vector<Packed> packed_;
  std::shared_ptr<const ops::PackedConv> conv_;
  Tensor conv_bias_;
  std::vector<Adapter> adapters_;
  TokenRows token_rows_;
};

}  // namespace sumi::nn

#include "models/language/rwkv/rwkv.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "ops/ops.h"
#include "tensor/autograd.h"

namespace sumi::models {

namespace {

// Tokens of a long prompt that go through the layers together: bounds the memory of activations.
constexpr int64_t kChunk = 512;

// The last step of x [1, T, C] becomes the previous one.
void keep_last(const Tensor& x, Tensor& previous) {
  const int64_t n = x.size(2);
  std::copy_n(x.f32() + (x.size(1) - 1) * n, n, previous.f32());
}

}  // namespace

RwkvState::RwkvState(const RwkvSpec& spec) {
  for (int64_t i = 0; i < spec.num_layers; ++i)
    layers_.push_back({Tensor::zeros({1, spec.hidden_size}), Tensor::zeros({1, spec.hidden_size}),
                       ops::WkvState::start(spec.attention_size)});
}

void RwkvState::truncate(int64_t length) {
  if (length == length_) return;
  if (length != 0)
    fail("a recurrent state of {} tokens cannot be cut to {}: it holds their sum alone", length_,
         length);
  for (Layer& layer : layers_)
    layer = {Tensor::zeros(layer.attention_previous.shape()),
             Tensor::zeros(layer.feed_forward_previous.shape()),
             ops::WkvState::start(layer.wkv.maximum.numel())};
  length_ = 0;
  complete_ = true;
}

std::vector<std::pair<const char*, Tensor>> RwkvState::tensors(size_t layer) const {
  const Layer& l = layers_[layer];
  return {{"attention.previous", l.attention_previous},
          {"attention.numerator", l.wkv.numerator},
          {"attention.denominator", l.wkv.denominator},
          {"attention.maximum", l.wkv.maximum},
          {"feed_forward.previous", l.feed_forward_previous}};
}

size_t RwkvState::bytes() const {
  size_t total = 0;
  for (size_t i = 0; i < layers_.size(); ++i)
    for (const auto& [name, tensor] : tensors(i)) total += static_cast<size_t>(tensor.nbytes());
  return total;
}

std::unique_ptr<DecodeState> RwkvState::clone() const {
  auto copy = std::make_unique<RwkvState>(*this);
  for (Layer& layer : copy->layers_)
    for (Tensor* tensor : {&layer.attention_previous, &layer.feed_forward_previous,
                           &layer.wkv.numerator, &layer.wkv.denominator, &layer.wkv.maximum})
      *tensor = tensor->clone();
  return copy;
}

std::unique_ptr<DecodeState> Rwkv::new_state() const { return std::make_unique<RwkvState>(spec_); }

void Rwkv::check_ids(std::span<const int32_t> ids) const {
  for (const int32_t id : ids)
    if (id < 0 || id >= spec_.vocab_size)
      fail("token id {} is outside the vocabulary of {}", id, spec_.vocab_size);
}

void Rwkv::check_batch(const Tensor& ids) const {
  if (ids.dim() != 2 || ids.dtype() != DType::i32 || ids.numel() == 0)
    fail("forward: ids of shape {} and type {}, expected [B, T] i32",
         tensor::shape_string(ids.shape()), dtype_name(ids.dtype()));
  check_ids({ids.data<int32_t>(), static_cast<size_t>(ids.numel())});
}

Tensor Rwkv::time_mixing(const TimeMixing& layer, const Tensor& x, RwkvState::Layer* state) const {
  const Tensor now = layer.norm(x), before = state ? state->attention_previous : Tensor();
  const Tensor key = layer.key(ops::mix_with_previous(now, before, layer.mix_key));
  const Tensor value = layer.value(ops::mix_with_previous(now, before, layer.mix_value));
  const Tensor receptance =
      layer.receptance(ops::mix_with_previous(now, before, layer.mix_receptance));
  if (state) keep_last(now, state->attention_previous);
  const Tensor average =
      ops::wkv(key, value, layer.decay, layer.first, state ? &state->wkv : nullptr);
  return layer.output(ops::gated(receptance, average, ops::Activation::sigmoid));
}

Tensor Rwkv::channel_mixing(const ChannelMixing& layer, const Tensor& x,
                            RwkvState::Layer* state) const {
  const Tensor now = layer.norm(x), before = state ? state->feed_forward_previous : Tensor();
  const Tensor key = layer.key(ops::mix_with_previous(now, before, layer.mix_key));
  const Tensor receptance =
      layer.receptance(ops::mix_with_previous(now, before, layer.mix_receptance));
  if (state) keep_last(now, state->feed_forward_previous);
  const Tensor value = layer.value(ops::activation(key, ops::Activation::relu_squared));
  return ops::gated(receptance, value, ops::Activation::sigmoid);
}

Tensor Rwkv::hidden(const Tensor& ids, RwkvState* state) const {
  Tensor x = embedding_norm_(embedding_(ids));
  for (size_t i = 0; i < layers_.size(); ++i) {
    RwkvState::Layer* kept = state ? &state->layers_[i] : nullptr;
    x = ops::add(x, time_mixing(layers_[i].time, x, kept));
    x = ops::add(x, channel_mixing(layers_[i].channel, x, kept));
  }
  return x;
}

Tensor Rwkv::forward(const Tensor& ids) const { return head_(hidden_states(ids)); }

Tensor Rwkv::hidden_states(const Tensor& ids) const {
  check_batch(ids);
  return final_norm_(hidden(ids, nullptr));
}

Tensor Rwkv::forward(std::span<const int32_t> ids, DecodeState& any_state, LogitsFor logits) const {
  const tensor::NoGrad no_grad;
  auto* state = dynamic_cast<RwkvState*>(&any_state);
  if (state == nullptr || state->layers_.size() != layers_.size())
    fail("the decode state was made by another model");
  if (!state->complete_) fail("the decode state is of no use: a call on it failed half-way");
  const auto count = static_cast<int64_t>(ids.size());
  if (count < 1) fail("forward: no token ids given");
  check_ids(ids);
  if (count > max_positions() - state->length_)
    fail("a sequence of {} tokens: at most {} are counted", state->length_ + count,
         max_positions());

  Tensor all, result;
  if (logits == LogitsFor::all) all = Tensor::empty({count, spec_.vocab_size});
  state->complete_ = false;
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int64_t size = std::min(kChunk, count - begin);
    Tensor chunk = Tensor::empty({1, size}, DType::i32);
    std::copy_n(ids.begin() + begin, size, chunk.data<int32_t>());
    const Tensor x = hidden(chunk, state).view({size, spec_.hidden_size});
    if (logits == LogitsFor::all) {
      const Tensor some = head_(final_norm_(x));
      std::memcpy(all.f32() + begin * spec_.vocab_size, some.f32(),
                  static_cast<size_t>(some.nbytes()));
    } else if (logits == LogitsFor::last && begin + size == count) {
      result = head_(final_norm_(x.rows(size - 1, 1)));
    }
  }
  state->length_ += count;
  state->complete_ = true;
  return all.defined() ? all : result;
}

std::vector<std::pair<std::string, Tensor>> Rwkv::state_tensors(
    const DecodeState& any_state) const {
  const auto* state = dynamic_cast<const RwkvState*>(&any_state);
  if (state == nullptr || state->layers_.size() != layers_.size() || !state->complete_)
    fail("the decode state was made by another model, or a call on it failed");
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < layers_.size(); ++i)
    for (const auto& [name, tensor] : state->tensors(i))
      all.emplace_back(fmt::format("layers.{}.{}", i, name), tensor);
  return all;
}

std::unique_ptr<DecodeState> Rwkv::state_from(const formats::TensorSource& source,
                                              int64_t length) const {
  auto state = std::make_unique<RwkvState>(spec_);
  for (size_t i = 0; i < layers_.size(); ++i)
    for (auto& [name, tensor] : state->tensors(i)) {
      const std::string full = fmt::format("layers.{}.{}", i, name);
      const Tensor found = source.get(full);
      if (found.dtype() != DType::f32 || found.shape() != tensor.shape())
        fail("{}: tensor {}: expected f32 {}, found {} {}", source.describe(), full,
             tensor::shape_string(tensor.shape()), dtype_name(found.dtype()),
             tensor::shape_string(found.shape()));
      std::memcpy(tensor.bytes(), found.bytes(), static_cast<size_t>(found.nbytes()));
    }
  state->length_ = length;
  return state;
}

// FNV-1a over the small weights, which no two trained models share.
std::string Rwkv::model_identity() const {
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&hash](const std::byte* bytes, size_t count) {
    for (size_t i = 0; i < count; ++i)
      hash = (hash ^ static_cast<uint64_t>(bytes[i])) * 0x100000001b3;
  };
  for (const Tensor& vector : vectors_) add(vector.bytes(), static_cast<size_t>(vector.nbytes()));
  return fmt::format("rwkv-4 {} x {} {:016x}", spec_.num_layers, spec_.hidden_size, hash);
}

}  // namespace sumi::models

#include "models/language/t5/t5.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "ops/ops.h"
#include "tensor/autograd.h"

namespace sumi::models {

namespace {

constexpr int64_t kChunk =
    256;  // tokens that go through the decoder together: bounds the memory of activations

void check_batch(const char* name, const Tensor& ids) {
  if (ids.dim() != 2 || ids.dtype() != DType::i32 || ids.numel() == 0)
    fail("{}: ids of shape {} and type {}, expected [B, T] i32", name,
         tensor::shape_string(ids.shape()), dtype_name(ids.dtype()));
}

// The table of biases as f32 values: inference leaves it as stored.
Tensor bias_table(const nn::Embedding& bias, int64_t buckets) {
  if (bias.table().dtype() == DType::f32) return bias.table();
  std::vector<int32_t> ids(static_cast<size_t>(buckets));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  return bias(Tensor::from_ids(ids, {buckets}));
}

}  // namespace

T5State::T5State(const T5Spec& spec, DType dtype) {
  for (int64_t i = 0; i < spec.decoder_layers; ++i) {
    read_.emplace_back(spec.num_heads, spec.head_dim, dtype);
    written_.emplace_back(spec.num_heads, spec.head_dim, dtype);
  }
}

void T5State::truncate(int64_t length) {
  if (length < 0 || length > length_)
    fail("decode state of {} tokens: cannot be cut to {}", length_, length);
  for (ops::KvCache& cache : written_)
    if (cache.length() > length) cache.truncate(length);
  length_ = length;
}

size_t T5State::bytes() const {
  size_t total = 0;
  for (const ops::KvCache& cache : read_) total += cache.bytes();
  for (const ops::KvCache& cache : written_) total += cache.bytes();
  for (const Tensor& bias : biases_) total += static_cast<size_t>(bias.nbytes());
  return total;
}

void T5::check_ids(std::span<const int32_t> ids) const {
  for (const int32_t id : ids)
    if (id < 0 || id >= spec_.vocab_size)
      fail("token id {} is outside the vocabulary of {}", id, spec_.vocab_size);
}

Tensor T5::heads(const Tensor& joined, int64_t index) const {
  const int64_t width = spec_.num_heads * spec_.head_dim;
  return ops::reshape(ops::slice_last(joined, index * width, width),
                      {joined.size(0), joined.size(1), spec_.num_heads, spec_.head_dim});
}

Tensor T5::joined(const Tensor& heads) const {
  return ops::reshape(heads, {heads.size(0), heads.size(1), spec_.num_heads * spec_.head_dim});
}

DType T5::cache_dtype() const {
  return ops::cache_dtype(!encoder_.empty() && encoder_[0].self.query_key_value.rounds());
}

Tensor T5::self_attention(const SelfAttention& layer, const Tensor& x, const Tensor& bias,
                          bool causal) const {
  const Tensor qkv = layer.query_key_value(layer.norm(x));
  ops::AttentionOptions options;
  options.causal = causal;
  options.distance_bias = bias;
  const Tensor q = heads(qkv, 0), k = heads(qkv, 1), v = heads(qkv, 2);
  if (cache_dtype() == DType::f32 || tensor::needs_record({&q, &k, &v}))
    return ops::add(x, layer.output(joined(ops::attention(q, k, v, options))));
  Tensor y = Tensor::empty(q.shape());
  for (int64_t text = 0; text < q.size(0); ++text) {
    const auto of_text = [&](const Tensor& all) { return all.rows(text, 1).view({all.size(1), all.size(2), all.size(3)}); };
    ops::KvCache cache(spec_.num_heads, spec_.head_dim, cache_dtype());
    cache.append(of_text(k), of_text(v));
    const Tensor part = ops::cached_attention(of_text(q), cache, options);
    std::memcpy(y.f32() + text * part.numel(), part.f32(), static_cast<size_t>(part.nbytes()));
  }
  return ops::add(x, layer.output(joined(y)));
}

Tensor T5::mlp(const Mlp& layer, const Tensor& x) const {
  const Tensor up = layer.up(layer.norm(x));
  return ops::add(x, layer.down(spec_.gated_mlp ? ops::gated(up, spec_.activation)
                                                : ops::activation(up, spec_.activation)));
}

Tensor T5::logits_of(const Tensor& x) const {
  const Tensor y = decoder_norm_(x);
  return head_(spec_.output_scale == 1 ? y : ops::scale(y, spec_.output_scale));
}

Tensor T5::encoded(const Tensor& ids) const {
  check_batch("encoder", ids);
  check_ids({ids.data<int32_t>(), static_cast<size_t>(ids.numel())});
  Tensor x = embedding_(ids), bias;
  for (const EncoderLayer& layer : encoder_) {
    if (layer.self.bias.defined())
      bias = ops::relative_bias(bias_table(layer.self.bias, spec_.buckets.count), spec_.buckets,
                                ids.size(1));
    x = mlp(layer.mlp, self_attention(layer.self, x, bias, false));
  }
  return encoder_norm_(x);
}

Tensor T5::forward(const Tensor& source, const Tensor& target) const {
  if (spec_.decoder_layers == 0) fail("this T5 is an encoder alone: it writes no text");
  check_batch("decoder", target);
  check_ids({target.data<int32_t>(), static_cast<size_t>(target.numel())});
  const Tensor read = encoded(source);
  if (target.size(0) != source.size(0))
    fail("T5: {} texts to read and {} to write", source.size(0), target.size(0));
  ops::RelativeBuckets buckets = spec_.buckets;
  buckets.both_sides = false;
  ops::AttentionOptions all;
  all.causal = false;
  Tensor x = embedding_(target), bias;
  for (const DecoderLayer& layer : decoder_) {
    if (layer.self.bias.defined())
      bias =
          ops::relative_bias(bias_table(layer.self.bias, buckets.count), buckets, target.size(1));
    x = self_attention(layer.self, x, bias, true);
    const Tensor query = layer.cross.query(layer.cross.norm(x)),
                 key_value = layer.cross.key_value(read);
    const Tensor y = ops::attention(heads(query, 0), heads(key_value, 0), heads(key_value, 1), all);
    x = mlp(layer.mlp, ops::add(x, layer.cross.output(joined(y))));
  }
  return logits_of(x);
}

Tensor T5::forward(const Tensor&) const {
  fail("an encoder-decoder model needs two texts: one read, one written");
}

std::unique_ptr<DecodeState> T5::new_state() const { return std::make_unique<T5State>(spec_, cache_dtype()); }

std::unique_ptr<DecodeState> T5::encode(std::span<const int32_t> ids) const {
  const tensor::NoGrad no_grad;
  if (ids.empty()) fail("encoder: no token ids given");
  if (static_cast<int64_t>(ids.size()) > max_positions())
    fail("encoder: {} tokens, more than {}", ids.size(), max_positions());
  const int64_t count = static_cast<int64_t>(ids.size());
  const Tensor read = encoded(Tensor::from_ids({ids.begin(), ids.end()}, {1, count}));
  auto state = std::make_unique<T5State>(spec_, cache_dtype());
  const Shape shape = {count, spec_.num_heads, spec_.head_dim};
  for (size_t i = 0; i < decoder_.size(); ++i) {
    const Tensor key_value = decoder_[i].cross.key_value(read);
    state->read_[i].append(heads(key_value, 0).view(shape), heads(key_value, 1).view(shape));
  }
  return state;
}

Tensor T5::forward(std::span<const int32_t> ids, DecodeState& any_state, LogitsFor logits) const {
  const tensor::NoGrad no_grad;
  auto* state = dynamic_cast<T5State*>(&any_state);
  if (spec_.decoder_layers == 0) fail("this T5 is an encoder alone: it writes no text");
  if (state == nullptr || state->read_.size() != decoder_.size())
    fail("the decode state was made by another model");
  if (state->read_[0].length() == 0)
    fail("an encoder-decoder model needs a text to read first: encode()");
  const int64_t count = static_cast<int64_t>(ids.size());
  if (count < 1) fail("forward: no token ids given");
  check_ids(ids);
  const int64_t total = state->length_ + count;
  if (total > max_positions()) fail("a sequence of {} tokens: at most {}", total, max_positions());
  state->truncate(state->length_);  // a call that failed half-way may have left keys behind
  if (state->biases_.empty() || state->biases_[0].size(1) < 2 * total - 1) {
    ops::RelativeBuckets buckets = spec_.buckets;
    buckets.both_sides = false;
    state->biases_.clear();
    for (const DecoderLayer& layer : decoder_)
      if (layer.self.bias.defined())
        state->biases_.push_back(ops::relative_bias(bias_table(layer.self.bias, buckets.count),
                                                    buckets, std::max<int64_t>(64, 2 * total)));
  }
  Tensor all = logits == LogitsFor::all ? Tensor::empty({count, spec_.vocab_size}) : Tensor(),
         result;
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int64_t size = std::min(kChunk, count - begin);
    const auto part = ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(size));
    const Shape shape = {size, spec_.num_heads, spec_.head_dim};
    ops::AttentionOptions self, cross;
    self.query_offset = state->length_;
    cross.causal = false;
    Tensor x = embedding_(Tensor::from_ids({part.begin(), part.end()}, {1, size}));
    size_t biases = 0;
    for (size_t i = 0; i < decoder_.size(); ++i) {
      const DecoderLayer& layer = decoder_[i];
      if (layer.self.bias.defined()) self.distance_bias = state->biases_[biases++];
      const Tensor qkv = layer.self.query_key_value(layer.self.norm(x));
      state->written_[i].append(heads(qkv, 1).view(shape), heads(qkv, 2).view(shape));
      Tensor y = ops::cached_attention(heads(qkv, 0).view(shape), state->written_[i], self);
      x = ops::add(x, layer.self.output(y.view({1, size, spec_.num_heads * spec_.head_dim})));
      const Tensor query = layer.cross.query(layer.cross.norm(x));
      y = ops::cached_attention(query.view(shape), state->read_[i], cross);
      x = ops::add(x, layer.cross.output(y.view({1, size, spec_.num_heads * spec_.head_dim})));
      x = mlp(layer.mlp, x);
    }
    state->length_ += size;
    const Tensor rows = x.view({size, spec_.hidden_size});
    if (logits == LogitsFor::all) {
      const Tensor some = logits_of(rows);
      std::memcpy(all.f32() + begin * spec_.vocab_size, some.f32(),
                  static_cast<size_t>(some.nbytes()));
    } else if (logits == LogitsFor::last && begin + size == count) {
      result = logits_of(rows.rows(size - 1, 1));
    }
  }
  return all.defined() ? all : result;
}

}  // namespace sumi::models

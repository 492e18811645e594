#include "models/language/decoder.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "ops/head_loss.h"
#include "ops/ops.h"
#include "tensor/autograd.h"

namespace sumi::models {

namespace {

// Tokens of a long prompt that go through the layers together: bounds the memory of activations.
constexpr int64_t kChunk = 512;

Tensor position_ids(int64_t begin, int64_t count) {
  Tensor positions = Tensor::empty({count}, DType::i32);
  int32_t* p = positions.data<int32_t>();
  std::iota(p, p + count, static_cast<int32_t>(begin));
  return positions;
}

std::span<const int32_t> row_of(const Tensor& ids, int64_t b) {
  const int64_t length = ids.size(1);
  return {ids.data<int32_t>() + b * length, static_cast<size_t>(length)};
}

}  // namespace

DecoderState::DecoderState(const DecoderSpec& spec, DType dtype) {
  caches_.reserve(static_cast<size_t>(spec.num_layers));
  for (int64_t i = 0; i < spec.num_layers; ++i)
    caches_.emplace_back(spec.num_kv_heads, spec.head_dim, dtype);
}

void DecoderState::truncate(int64_t length) {
  if (length < 0 || length > length_)
    fail("decode state of {} tokens: cannot be cut to {}", length_, length);
  if (length > 0 && length < prefix_.length)
    fail("decode state with a prefix of {} tokens: cannot be cut to {}", prefix_.length, length);
  for (ops::KvCache& cache : caches_)
    if (cache.length() > length) cache.truncate(length);
  length_ = length;
}

size_t DecoderState::bytes() const {
  size_t total = 0;
  for (const ops::KvCache& cache : caches_) total += cache.bytes();
  return total;
}

std::unique_ptr<DecodeState> Decoder::new_state() const {
  return std::make_unique<DecoderState>(spec_, cache_dtype());
}

DType Decoder::cache_dtype() const {
  return ops::cache_dtype(!layers_.empty() && layers_[0].query_key_value.rounds());
}

std::unique_ptr<DecodeState> Decoder::encode(std::span<const int32_t> ids) const {
  if (!spec_.has_prefix) return LanguageModel::encode(ids);
  std::vector<int32_t> all(ids.begin(), ids.end());
  if (all.empty() || all.back() != spec_.start_id) all.push_back(spec_.start_id);
  auto state = std::make_unique<DecoderState>(spec_, cache_dtype());
  state->prefix_ = prefix_of(all);
  all.pop_back();
  if (state->prefix_.length != static_cast<int64_t>(all.size()))
    fail("prompt: token id {} begins the answer and stands at {}, expected at the end",
         spec_.start_id, state->prefix_.length);
  process(all, *state, LogitsFor::none);
  return state;
}

Prefix Decoder::prefix_of(std::span<const int32_t> ids) const {
  const auto start = std::find(ids.begin(), ids.end(), spec_.start_id);
  const auto mask = std::find(ids.begin(), start, spec_.mask_id);
  if (start == ids.end() || mask == start)
    fail("prompt: expected token id {}, the mask, and after it {}, which begins the answer",
         spec_.mask_id, spec_.start_id);
  return {start - ids.begin(), mask - ids.begin()};
}

void Decoder::check_ids(std::span<const int32_t> ids, int64_t length, const Prefix& prefix) const {
  // The prefix and what follows count their positions apart.
  length = std::max(prefix.length, length - prefix.length);
  if (length > spec_.max_positions)
    fail("a sequence of {} tokens: the model's context is {}", length, spec_.max_positions);
  for (const int32_t id : ids)
    if (id < 0 || id >= spec_.vocab_size)
      fail("token id {} is outside the vocabulary of {}", id, spec_.vocab_size);
}

Tensor Decoder::forward(std::span<const int32_t> ids, DecodeState& any_state,
                        LogitsFor logits) const {
  auto* state = dynamic_cast<DecoderState*>(&any_state);
  if (state == nullptr || static_cast<int64_t>(state->caches_.size()) != spec_.num_layers)
    fail("the decode state was made by another model");
  if (spec_.has_prefix && state->length_ == 0) state->prefix_ = prefix_of(ids);
  return process(ids, *state, logits);
}

Tensor Decoder::process(std::span<const int32_t> ids, DecoderState& state, LogitsFor logits) const {
  const tensor::NoGrad no_grad;
  const auto count = static_cast<int64_t>(ids.size());
  if (count < 1) fail("forward: no token ids given");
  if (!spec_.causal)
    fail("this model is an encoder: it reads whole texts and does not continue them");
  const int64_t total = state.length_ + count;
  check_ids(ids, total, state.prefix_);
  state.truncate(state.length_);  // a call that failed half-way may have left keys behind

  Tensor all;
  if (logits == LogitsFor::all && count > kChunk) all = Tensor::empty({count, spec_.vocab_size});
  Tensor result;
  for (int64_t begin = 0, size = 0; begin < count; begin += size) {
    size = std::max(kChunk, state.prefix_.length - state.length_);  // a prefix is not cut
    size = std::min(size, count - begin);
    Tensor chunk = Tensor::empty({1, size}, DType::i32);
    std::copy_n(ids.begin() + begin, size, chunk.data<int32_t>());
    Step step = step_for(state.length_, size, total, state.prefix_);
    step.state = &state;
    const Tensor x =
        hidden(embedding_(chunk), step, spec_.num_layers).view({size, spec_.hidden_size});
    state.length_ += size;
    if (logits == LogitsFor::all) {
      result = logits_of(x);
      if (all.defined())
        std::memcpy(all.f32() + begin * spec_.vocab_size, result.f32(),
                    static_cast<size_t>(result.nbytes()));
    } else if (logits == LogitsFor::last && begin + size == count) {
      result = logits_of(x.rows(size - 1, 1));
    }
  }
  return all.defined() ? all : result;
}

Tensor Decoder::forward(const Tensor& ids) const { return logits_of(hidden_of(ids)); }

Tensor Decoder::loss(const TextBatch& batch, bool checkpoint_blocks) const {
  const Shape shape = batch.ids.shape();
  if (batch.ids.dim() != 2 || batch.ids.dtype() != DType::i32 || batch.targets.shape() != shape)
    fail("loss: ids {} and targets {}, expected [B, T] i32", tensor::shape_string(shape),
         tensor::shape_string(batch.targets.shape()));
  const int32_t* positions =
      batch.positions.defined() ? batch.positions.data<int32_t>() : nullptr;
  const int64_t longest =
      positions ? *std::max_element(positions, positions + batch.positions.numel()) + 1
                : batch.ids.size(1);
  const Prefix prefix = shared_prefix(batch.ids);
  if (prefix.length > 0 && (positions || batch.first_keys.defined()))
    fail("loss: a model that reads a prefix both ways takes one text a row");
  check_ids({batch.ids.data<int32_t>(), static_cast<size_t>(batch.ids.numel())}, longest, prefix);
  Step step = step_for(0, batch.ids.size(1), longest, prefix);
  if (positions) step.positions = batch.positions;
  step.first_keys = batch.first_keys;
  step.checkpoint = checkpoint_blocks;
  const Tensor x = hidden(embedding_(batch.ids), step, spec_.num_layers);

  // Only positions with a target go through the head, a few at a time.
  const std::vector<Tensor> head = head_.weights();
  const bool head_learns = !head.empty() && head[0].requires_grad();
  std::vector<int32_t> rows, targets;
  for (int64_t i = 0; i < batch.targets.numel(); ++i) {
    const int32_t target = batch.targets.data<int32_t>()[i];
    if (target == ops::kIgnoreIndex) continue;
    rows.push_back(static_cast<int32_t>(i));
    targets.push_back(target);
  }
  const auto count = static_cast<int64_t>(rows.size());
  if (count == 0) fail("loss: none of the {} targets counts", batch.targets.numel());
  Tensor counted = ops::embedding(Tensor::from_ids(rows, {count}),
                                  ops::reshape(x, {x.numel() / spec_.hidden_size, spec_.hidden_size}));
  counted = head_input(counted);
  const Tensor wanted = Tensor::from_ids(targets, {count});
  const bool one_product = head.size() == 2 && !head[1].defined() && !head_.has_adapters() &&
                           spec_.logit_scale == 1 && spec_.logit_softcap == 0;
  const bool in_bf16 = one_product && head_.products() == ops::Products::bf16;
  // Floats of logits in memory; a head that is trained itself has another gradient for each piece to add.
  const int64_t most_logits = int64_t{1} << (!head_learns ? 24 : in_bf16 ? 26 : 25);
  const int64_t rows_at_once = std::max<int64_t>(64, most_logits / spec_.vocab_size);
  if (in_bf16) return ops::head_cross_entropy(counted, head[0], wanted, rows_at_once);
  if (head_.has_adapters()) return ops::cross_entropy(logits_with(head_, counted), wanted);
  const auto logits = [this](const Tensor& piece, const std::vector<Tensor>& weights) {
    return logits_with(head_.with_weights(weights), piece);
  };
  return ops::cross_entropy_in_pieces(logits, counted, head, wanted, rows_at_once);
}

Tensor Decoder::hidden_states(const Tensor& ids) const {
  const Tensor x = hidden_of(ids);
  return final_norm_.defined() ? final_norm_(x) : x;
}

Tensor Decoder::hidden_of(const Tensor& ids) const {
  const Tensor x = token_embeddings(ids);
  const int64_t length = ids.size(1);
  return hidden(x, step_for(0, length, length, shared_prefix(ids)), spec_.num_layers);
}

Tensor Decoder::token_embeddings(const Tensor& ids) const {
  if (ids.dim() != 2 || ids.dtype() != DType::i32 || ids.numel() == 0)
    fail("forward: ids of shape {} and type {}, expected [B, T] i32",
         tensor::shape_string(ids.shape()), dtype_name(ids.dtype()));
  const Prefix prefix = shared_prefix(ids);
  for (int64_t b = 0; b < ids.size(0); ++b) check_ids(row_of(ids, b), ids.size(1), prefix);
  return embedding_(ids);
}

Prefix Decoder::shared_prefix(const Tensor& ids) const {
  if (!spec_.has_prefix) return {};
  const Prefix prefix = prefix_of(row_of(ids, 0));
  for (int64_t b = 1; b < ids.size(0); ++b) {
    const Prefix own = prefix_of(row_of(ids, b));
    if (own.length != prefix.length || own.mask != prefix.mask)
      fail("forward: prefixes of {} and {} tokens with masks at {} and {} in one batch",
           prefix.length, own.length, prefix.mask, own.mask);
  }
  return prefix;
}

Tensor Decoder::hidden_states_of(const Tensor& embeddings, int64_t layers,
                                 const Padding& padding) const {
  const Tensor x = layer_states(embeddings, layers, padding);
  return final_norm_.defined() ? final_norm_(x) : x;
}

Tensor Decoder::layer_states(const Tensor& embeddings, int64_t layers,
                             const Padding& padding) const {
  if (embeddings.dim() != 3 || embeddings.size(2) != spec_.embedding_width())
    fail("hidden states: embeddings of shape {}, expected [B, T, {}]",
         tensor::shape_string(embeddings.shape()), spec_.embedding_width());
  if (spec_.has_prefix) fail("hidden states: embeddings do not show where a prefix ends");
  const int64_t length = embeddings.size(1);
  if (length < 1 || length > spec_.max_positions)
    fail("a sequence of {} tokens: the model's context is {}", length, spec_.max_positions);
  Step step = step_for(0, length, length, {});
  if (padding.begin > 0) {
    if (spec_.causal || padding.begin > length)
      fail("hidden states: padding from {} on in {} tokens of {} model", padding.begin, length,
           spec_.causal ? "a causal" : "an encoder's");
    if (!padding.seen) step.seen = padding.begin;
    for (int64_t t = padding.begin; t < length && spec_.position_offset > 0; ++t)
      step.positions.data<int32_t>()[t] = -1;
  }
  return hidden(embeddings, step, layers);
}

Decoder::Step Decoder::step_for(int64_t begin, int64_t count, int64_t total,
                                const Prefix& prefix) const {
  Step step;
  step.begin = begin;
  step.positions = position_ids(begin, count);
  if (spec_.has_prefix) {
    step.prefix = prefix;
    step.second_places = Tensor::zeros({count}, DType::i32);
    for (int64_t t = std::max<int64_t>(0, prefix.length - begin); t < count; ++t) {
      step.positions.data<int32_t>()[t] = static_cast<int32_t>(prefix.mask);
      step.second_places.data<int32_t>()[t] = static_cast<int32_t>(begin + t - prefix.length + 1);
    }
  }
  if (spec_.positions != Positions::rope) return step;
  step.frequencies = ops::rope_depends_on_length(spec_.rope)
                         ? ops::rope_frequencies(spec_.rope, total)
                         : frequencies_;
  step.local_frequencies = local_frequencies_;
  return step;
}

Tensor Decoder::hidden(Tensor x, const Step& step, int64_t layers) const {
  if (spec_.projects_embedding()) x = embedding_projection_(x);
  if (spec_.embedding_scale != 1) x = ops::scale(x, spec_.embedding_scale);
  if (spec_.positions == Positions::learned) {
    Tensor rows = step.positions;
    if (spec_.position_offset != 0) {
      rows = rows.clone();
      for (int64_t i = 0; i < rows.numel(); ++i)
        rows.data<int32_t>()[i] += static_cast<int32_t>(spec_.position_offset);
    }
    x = ops::add(x, position_embedding_(rows));
  }
  if (token_type_embedding_.defined()) {  // every token is of type 0
    const Tensor type = token_type_embedding_(Tensor::from_ids({0}, {1}));
    x = ops::add(x, ops::reshape(type, {spec_.hidden_size}));
  }
  if (embedding_norm_.defined()) x = embedding_norm_(x);
  for (int64_t i = 0; i < layers; ++i) {
    const auto layer = [this, i, step](const std::vector<Tensor>& in) {
      return block(static_cast<size_t>(i), in[0], step);
    };
    x = step.checkpoint ? tensor::checkpoint(layer, {x}) : layer({x});
  }
  return x;
}

Tensor Decoder::block(size_t index, const Tensor& x, const Step& step) const {
  const Layer& layer = layers_[index];
  if (spec_.norm_place == NormPlace::after) {
    const Tensor y = layer.attention_norm(branch(x, attention(index, x, step)));
    return layer.mlp_norm(branch(y, mlp(layer, y)));
  }
  if (spec_.norm_place == NormPlace::trunk) {
    const Tensor trunk = layer.attention_norm(x);
    const Tensor y =
        layer.mlp_norm(branch(ops::scale(trunk, spec_.trunk_scale), attention(index, trunk, step)));
    return branch(ops::scale(y, spec_.trunk_scale), mlp(layer, y));
  }
  if (spec_.norm_place == NormPlace::output) {
    const Tensor y = branch(x, layer.attention_post_norm(attention(index, x, step)));
    return branch(y, layer.mlp_post_norm(mlp(layer, y)));
  }
  const Tensor normed = layer.attention_norm(x);
  Tensor attended = attention(index, normed, step);
  if (layer.attention_post_norm.defined()) attended = layer.attention_post_norm(attended);
  if (spec_.parallel_residual) {
    const Tensor computed = mlp(layer, spec_.one_norm ? normed : layer.mlp_norm(x));
    return branch(branch(x, attended), computed);
  }
  const Tensor y = branch(x, attended);
  Tensor computed = mlp(layer, layer.mlp_norm(y));
  if (layer.mlp_post_norm.defined()) computed = layer.mlp_post_norm(computed);
  return branch(y, computed);
}

Tensor Decoder::branch(const Tensor& x, const Tensor& output) const {
  return ops::add(x, spec_.residual_scale == 1 ? output : ops::scale(output, spec_.residual_scale));
}

Tensor Decoder::attention(size_t index, const Tensor& x, const Step& step) const {
  const Layer& layer = layers_[index];
  const int64_t batch = x.size(0), length = x.size(1);
  const int64_t heads = spec_.num_heads, kv_heads = spec_.num_kv_heads, dim = spec_.head_dim;
  // [B, T, H D], [B, T, Hkv D] twice, or the last two or all three side by side
  const std::vector<Tensor> outputs = layer.query_key_value.outputs(x);
  const auto part = [&](size_t index, int64_t first, int64_t count, const nn::Norm* norm) {
    const size_t in = std::min(index, outputs.size() - 1);
    const int64_t before = outputs.size() == 2 && in == 1 ? heads : 0;  // in the part before
    Tensor y = outputs.size() == 3
                   ? outputs[index]
                   : ops::slice_last(outputs[in], (first - before) * dim, count * dim);
    if (spec_.clip_qkv != 0) y = ops::clamp(y, spec_.clip_qkv);
    if (norm && spec_.query_key_norm == QueryKeyNorm::all) y = (*norm)(y);
    y = ops::reshape(y, {batch, length, count, dim});
    return norm && spec_.query_key_norm == QueryKeyNorm::heads ? (*norm)(y) : y;
  };
  Tensor q = part(0, 0, heads, &layer.query_norm), k = part(1, heads, kv_heads, &layer.key_norm);
  const Tensor v = part(2, heads + kv_heads, kv_heads, nullptr);
  if (layer.rotates) {
    q = rotated(layer, q, step);
    k = rotated(layer, k, step);
  }
  ops::AttentionOptions options = layer.attention;
  options.prefix = step.prefix.length;
  Tensor y;
  if (step.state != nullptr) {
    ops::KvCache& cache = step.state->caches_[index];
    cache.append(k.view({length, kv_heads, dim}), v.view({length, kv_heads, dim}));
    options.query_offset = step.begin;
    y = ops::cached_attention(q.view({length, heads, dim}), cache, options);
  } else {
    options.first_keys = step.first_keys;
    options.products = layer.query_key_value.products();
    if (step.seen > 0) {  // no key by its place, those of the prefix to all
      options.causal = true;
      options.query_offset = -length;
      options.prefix = step.seen;
    }
    y = ops::attention(q, k, v, options);
  }
  return layer.attention_output(ops::reshape(y, {batch, length, heads * dim}));
}

Tensor Decoder::rotated(const Layer& layer, const Tensor& x, const Step& step) const {
  const bool local = layer.attention.window > 0 && spec_.local_rope.rotary_dim > 0;
  const ops::RopeFrequencies& frequencies = local ? step.local_frequencies : step.frequencies;
  const auto turn = [&](const Tensor& part, const Tensor& positions) {
    return ops::rope(part, positions, frequencies, spec_.rope.pairs);
  };
  if (!spec_.has_prefix) return turn(x, step.positions);
  const int64_t half = spec_.head_dim / 2;
  return ops::concat_last({turn(ops::slice_last(x, 0, half), step.positions),
                           turn(ops::slice_last(x, half, half), step.second_places)});
}

Tensor Decoder::mlp(const Layer& layer, const Tensor& x) const {
  const std::vector<Tensor> up = layer.up.outputs(x);
  if (!spec_.gated_mlp) return layer.down(ops::activation(up[0], spec_.activation));
  return layer.down(up.size() == 2 ? ops::gated(up[0], up[1], spec_.activation)
                                   : ops::gated(up[0], spec_.activation));
}

Tensor Decoder::head_input(const Tensor& hidden) const {
  const Tensor x = final_norm_.defined() ? final_norm_(hidden) : hidden;
  return spec_.projects_embedding() ? head_projection_(x) : x;
}

Tensor Decoder::logits_of(const Tensor& hidden) const {
  return logits_with(head_, head_input(hidden));
}

Tensor Decoder::logits_with(const nn::Linear& head, const Tensor& x) const {
  if (!spec_.has_head) fail("this model is an encoder: it gives hidden states, not logits");
  Tensor logits = head(x);
  if (spec_.logit_scale != 1) logits = ops::scale(logits, spec_.logit_scale);
  if (spec_.logit_softcap != 0) logits = ops::softcap(logits, spec_.logit_softcap);
  return logits;
}

}  // namespace sumi::models

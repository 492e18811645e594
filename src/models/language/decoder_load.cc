// Loading a Decoder: which layers its spec asks for, from which names.
#include <cmath>

#include "base/error.h"
#include "models/language/decoder.h"

namespace sumi::models {

namespace {

// Causal masks and rotary tables that older files keep beside the weights, a head that repeats the
// embedding, and GGUF's RoPE factors (read with the configuration).
bool ignored_name(const std::string& name, const WeightNames& names, const DecoderSpec& spec) {
  for (const char* suffix :
       {".rotary_emb.inv_freq", ".rotary_pos_emb.inv_freq", ".attn.bias", ".attn.masked_bias",
        ".attention.bias", ".attention.masked_bias", ".attn.causal_mask"})
    if (name.size() >= std::string(suffix).size() &&
        name.compare(name.size() - std::string(suffix).size(), std::string::npos, suffix) == 0)
      return true;
  if (spec.tied_head && name == names.get(Slot::head).file + ".weight") return true;
  for (const std::string& unused : spec.unused_weights)
    if (name.rfind(unused, 0) == 0 || name.rfind(names.prefix() + unused, 0) == 0) return true;
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" ||
         name == "rope_factors_short.weight";
}

float attention_scale(const DecoderSpec& spec, int64_t layer) {
  float scale = spec.attention_scale != 0 ? spec.attention_scale
                                          : 1 / std::sqrt(static_cast<float>(spec.head_dim));
  if (spec.attention_scale_by_layer) scale /= static_cast<float>(layer + 1);
  return scale;
}

}  // namespace

Decoder::Decoder(DecoderSpec spec, const WeightTable& table, const formats::TensorSource& source,
                 bool gguf, const nn::LoadOptions& options)
    : spec_(std::move(spec)) {
  check_spec(spec_, source.describe());
  check_names(spec_, table, source, gguf);
  const WeightNames names(table, spec_, source, gguf);
  nn::WeightLoader loader(source, options);
  if (spec_.positions == Positions::rope) {
    if (!ops::rope_depends_on_length(spec_.rope))
      frequencies_ = ops::rope_frequencies(spec_.rope, spec_.max_positions);
    if (spec_.local_rope.rotary_dim > 0)
      local_frequencies_ = ops::rope_frequencies(spec_.local_rope, spec_.max_positions);
  }
  load(names, loader);
  parameters_ = loader.parameters();
  weight_bytes_ = loader.memory_bytes();
  if (options.progress) options.progress(1.0);
}

void Decoder::check_names(const DecoderSpec& spec, const WeightTable& table,
                          const formats::TensorSource& source, bool gguf) {
  const WeightNames names(table, spec, source, gguf);
  nn::check_names(source, names.expected(),
                  [&](const std::string& name) { return ignored_name(name, names, spec); });
}

void Decoder::load(const WeightNames& names, nn::WeightLoader& loader) {
  const int64_t width = spec_.embedding_width();
  // The head first: it is the largest matrix, and while it is packed both its forms are in memory.
  const int64_t rows = spec_.vocab_size;
  embedding_ = loader.token_embedding(names.get(Slot::token_embedding), rows, width);
  spec_.vocab_size = embedding_.tokens();
  if (!spec_.has_head) {
    head_ = {};
  } else if (spec_.tied_head) {
    if (spec_.head_bias) fail("a tied head with a bias is not known to the decoder");
    head_ = loader.tied(names.get(Slot::token_embedding), embedding_);
  } else {
    head_ = loader.head(names.get(Slot::head), rows, width, spec_.head_bias);
  }
  if (spec_.projects_embedding()) {
    embedding_projection_ =
        loader.linear({names.get(Slot::embedding_projection)}, {spec_.hidden_size}, width, false);
    head_projection_ =
        loader.linear({names.get(Slot::head_projection)}, {width}, spec_.hidden_size, false);
  }
  if (spec_.positions == Positions::learned)
    position_embedding_ =
        loader.embedding(names.get(Slot::position_embedding),
                         spec_.max_positions + spec_.position_offset, spec_.hidden_size);
  if (spec_.token_types > 0) {
    token_type_embedding_ = loader.embedding(names.get(Slot::token_type_embedding),
                                             spec_.token_types, spec_.hidden_size);
  }
  if (spec_.embedding_norm) embedding_norm_ = load_norm(names, loader, Slot::embedding_norm);
  layers_.reserve(static_cast<size_t>(spec_.num_layers));
  for (int64_t i = 0; i < spec_.num_layers; ++i) layers_.push_back(load_layer(names, loader, i));
  if (spec_.final_norm) final_norm_ = load_norm(names, loader, Slot::final_norm);
}

nn::Norm Decoder::load_norm(const WeightNames& names, nn::WeightLoader& loader, Slot slot,
                            int64_t layer) const {
  if (!spec_.norm_weight)  // Norm has no kind without weights: they are ones
    return nn::Norm(spec_.norm, Tensor::full({spec_.hidden_size}, 1), Tensor(), spec_.norm_eps);
  return loader.norm(names.get(slot, layer), spec_.norm, spec_.hidden_size, spec_.norm_bias,
                     spec_.norm_eps, spec_.norm_offset);
}

Decoder::Layer Decoder::load_layer(const WeightNames& names, nn::WeightLoader& loader,
                                   int64_t i) const {
  const int64_t hidden = spec_.hidden_size, inner = spec_.intermediate_size;
  const int64_t q = spec_.num_heads * spec_.head_dim, kv = spec_.num_kv_heads * spec_.head_dim;
  Layer layer;
  if (spec_.norm_place != NormPlace::output) {
    layer.attention_norm = load_norm(names, loader, Slot::attention_norm, i);
    if (!spec_.one_norm) layer.mlp_norm = load_norm(names, loader, Slot::mlp_norm, i);
  }
  if (spec_.norm_place == NormPlace::around || spec_.norm_place == NormPlace::output) {
    layer.attention_post_norm = load_norm(names, loader, Slot::attention_post_norm, i);
    layer.mlp_post_norm = load_norm(names, loader, Slot::mlp_post_norm, i);
  }
  if (names.has(Slot::query_key_value))
    layer.query_key_value =
        loader.linear({names.get(Slot::query_key_value, i)}, {q + 2 * kv}, hidden, spec_.qkv_bias);
  else if (names.has(Slot::key_value))
    layer.query_key_value = loader.linear({names.get(Slot::query, i), names.get(Slot::key_value, i)},
                                          {q, 2 * kv}, hidden, spec_.qkv_bias);
  else
    layer.query_key_value = loader.linear(
        {names.get(Slot::query, i), names.get(Slot::key, i), names.get(Slot::value, i)},
        {q, kv, kv}, hidden, spec_.qkv_bias);
  if (spec_.query_key_norm == QueryKeyNorm::heads) {
    const auto head_norm = [&](Slot slot) {
      return loader.norm(names.get(slot, i), nn::NormKind::rms, spec_.head_dim, false,
                         spec_.norm_eps, spec_.norm_offset);
    };
    layer.query_norm = head_norm(Slot::query_norm);
    layer.key_norm = head_norm(Slot::key_norm);
  } else if (spec_.query_key_norm == QueryKeyNorm::all) {
    const auto joint_norm = [&](Slot slot, int64_t size) {
      return loader.norm(names.get(slot, i), spec_.norm, size, spec_.norm_bias, spec_.norm_eps,
                         spec_.norm_offset);
    };
    layer.query_norm = joint_norm(Slot::query_norm, q);
    layer.key_norm = joint_norm(Slot::key_norm, kv);
  }
  layer.attention_output = loader.linear({names.get(Slot::attention_output, i)}, {hidden}, q,
                                         spec_.attention_output_bias);
  if (!spec_.gated_mlp)
    layer.up = loader.linear({names.get(Slot::up, i)}, {inner}, hidden, spec_.mlp_bias);
  else if (names.has(Slot::gate_up))
    layer.up = loader.linear({names.get(Slot::gate_up, i)}, {2 * inner}, hidden, spec_.mlp_bias);
  else
    layer.up = loader.linear({names.get(Slot::gate, i), names.get(Slot::up, i)}, {inner, inner},
                             hidden, spec_.mlp_bias);
  layer.down = loader.linear({names.get(Slot::down, i)}, {hidden}, inner, spec_.mlp_bias);

  layer.attention.causal = spec_.causal;
  layer.attention.scale = attention_scale(spec_, i);
  layer.attention.window = spec_.windows.empty() ? 0 : spec_.windows[static_cast<size_t>(i)];
  layer.attention.softcap = spec_.attention_softcap;
  if (spec_.positions == Positions::alibi)
    layer.attention.alibi_slopes = alibi_slopes(spec_.num_heads, spec_.alibi_max);
  if (spec_.alibi_scaled)
    for (float& slope : layer.attention.alibi_slopes) slope *= layer.attention.scale;
  layer.rotates = spec_.positions == Positions::rope &&
                  (spec_.rope_layers.empty() || spec_.rope_layers[static_cast<size_t>(i)]);
  return layer;
}

}  // namespace sumi::models

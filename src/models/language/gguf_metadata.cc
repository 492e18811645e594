#include "models/language/gguf_metadata.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace sumi::models {

namespace {

using ops::RopeScaling;

Tensor vector_tensor(const std::vector<float>& values) {
  Tensor tensor = Tensor::empty({static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), tensor.f32());
  return tensor;
}

// By how much each frequency is divided: LLaMA 3's scaling, written out.
std::vector<float> frequency_factors(const ops::RopeOptions& rope, int64_t positions) {
  ops::RopeOptions plain = rope;
  plain.scaling = RopeScaling::none;
  plain.frequency_factors.clear();
  std::vector<float> factors = ops::rope_frequencies(plain, positions).inverse;
  const std::vector<float> scaled = ops::rope_frequencies(rope, positions).inverse;
  for (size_t i = 0; i < factors.size(); ++i) factors[i] /= scaled[i];
  return factors;
}

void write_rope(const DecoderSpec& spec, const std::string& architecture,
                const std::string& source, formats::GgufWriter* writer) {
  const ops::RopeOptions& rope = spec.rope;
  const auto key = [&](const char* name) { return architecture + ".rope." + name; };
  writer->set_uint32(key("dimension_count"), static_cast<uint32_t>(rope.rotary_dim));
  writer->set_float32(key("freq_base"), static_cast<float>(rope.theta));
  const auto original_length = [&] {
    writer->set_uint32(key("scaling.original_context_length"),
                       static_cast<uint32_t>(rope.original_max_positions));
  };
  switch (rope.scaling) {
    case RopeScaling::none:
      if (!rope.frequency_factors.empty())
        writer->add_tensor("rope_freqs.weight", vector_tensor(rope.frequency_factors));
      return;
    case RopeScaling::linear:
      writer->set_string(key("scaling.type"), "linear");
      writer->set_float32(key("scaling.factor"), static_cast<float>(rope.factor));
      return;
    case RopeScaling::yarn:
      writer->set_string(key("scaling.type"), "yarn");
      writer->set_float32(key("scaling.factor"), static_cast<float>(rope.factor));
      original_length();
      writer->set_float32(key("scaling.yarn_beta_fast"), static_cast<float>(rope.beta_fast));
      writer->set_float32(key("scaling.yarn_beta_slow"), static_cast<float>(rope.beta_slow));
      return;
    case RopeScaling::llama3:
      writer->add_tensor("rope_freqs.weight",
                         vector_tensor(frequency_factors(rope, spec.max_positions)));
      return;
    case RopeScaling::longrope:
      original_length();
      writer->set_float32(key("scaling.attn_factor"),
                          ops::rope_frequencies(rope, spec.max_positions).magnitude);
      writer->add_tensor("rope_factors_long.weight", vector_tensor(rope.long_factors));
      writer->add_tensor("rope_factors_short.weight", vector_tensor(rope.short_factors));
      return;
    case RopeScaling::dynamic:
      fail("{}: RoPE scaling: GGUF cannot express dynamic", source);
  }
}

bool same_rope(const ops::RopeOptions& a, const ops::RopeOptions& b, int64_t max_positions) {
  if (a.rotary_dim != b.rotary_dim || a.pairs != b.pairs ||
      ops::rope_depends_on_length(a) != ops::rope_depends_on_length(b))
    return false;
  for (const int64_t positions : {int64_t{1}, max_positions}) {
    const ops::RopeFrequencies x = ops::rope_frequencies(a, positions);
    const ops::RopeFrequencies y = ops::rope_frequencies(b, positions);
    if (std::fabs(x.magnitude - y.magnitude) > 1e-6f) return false;
    for (size_t i = 0; i < x.inverse.size(); ++i)
      if (std::fabs(x.inverse[i] - y.inverse[i]) > 1e-6f * x.inverse[i]) return false;
  }
  return true;
}

// Per layer, 0 for none that matters.
std::vector<int64_t> effective_windows(const DecoderSpec& spec) {
  std::vector<int64_t> windows(static_cast<size_t>(spec.num_layers), 0);
  for (size_t i = 0; i < spec.windows.size(); ++i)
    if (spec.windows[i] < spec.max_positions) windows[i] = spec.windows[i];
  return windows;
}

std::vector<bool> effective_rope_layers(const DecoderSpec& spec) {
  return spec.rope_layers.empty() ? std::vector<bool>(static_cast<size_t>(spec.num_layers), true)
                                  : spec.rope_layers;
}

float effective_scale(const DecoderSpec& spec) {
  return spec.attention_scale != 0 ? spec.attention_scale
                                   : 1 / std::sqrt(static_cast<float>(spec.head_dim));
}

}  // namespace

void write_gguf_metadata(const DecoderSpec& spec, const std::string& architecture,
                         const std::string& source, formats::GgufWriter* writer) {
  const auto number = [&](const char* name, int64_t value) {
    writer->set_uint32(architecture + "." + name, static_cast<uint32_t>(value));
  };
  const auto real = [&](const char* name, float value) {
    writer->set_float32(architecture + "." + name, value);
  };
  number("context_length", spec.max_positions);
  number("embedding_length", spec.hidden_size);
  number("feed_forward_length", spec.intermediate_size);
  number("block_count", spec.num_layers);
  number("vocab_size", spec.vocab_size);
  number("attention.head_count", spec.num_heads);
  number("attention.head_count_kv", spec.num_kv_heads);
  number("attention.key_length", spec.head_dim);
  number("attention.value_length", spec.head_dim);
  real(spec.norm == nn::NormKind::rms ? "attention.layer_norm_rms_epsilon"
                                      : "attention.layer_norm_epsilon",
       spec.norm_eps);
  const auto window = std::max_element(spec.windows.begin(), spec.windows.end());
  if (window != spec.windows.end() && *window > 0) number("attention.sliding_window", *window);
  if (spec.attention_softcap > 0) real("attn_logit_softcapping", spec.attention_softcap);
  if (spec.logit_softcap > 0) real("final_logit_softcapping", spec.logit_softcap);
  if (spec.positions == Positions::alibi) real("attention.max_alibi_bias", spec.alibi_max);
  if (spec.clip_qkv > 0) real("attention.clamp_kqv", spec.clip_qkv);
  writer->set_bool(architecture + ".use_parallel_residual", spec.parallel_residual);
  if (spec.positions == Positions::rope) write_rope(spec, architecture, source, writer);
}

std::string spec_difference(const DecoderSpec& a, const DecoderSpec& b) {
  const std::pair<const char*, bool> same[] = {
      {"vocab_size", a.vocab_size == b.vocab_size},
      {"hidden_size", a.hidden_size == b.hidden_size},
      {"intermediate_size", a.intermediate_size == b.intermediate_size},
      {"num_layers", a.num_layers == b.num_layers},
      {"num_heads", a.num_heads == b.num_heads},
      {"num_kv_heads", a.num_kv_heads == b.num_kv_heads},
      {"head_dim", a.head_dim == b.head_dim},
      {"max_positions", a.max_positions == b.max_positions},
      {"the kind of norm", a.norm == b.norm},
      {"the place of norms", a.norm_place == b.norm_place},
      {"norm_eps", a.norm_eps == b.norm_eps},
      {"the norms' offset", a.norm_offset == b.norm_offset},
      {"biases of norms", a.norm_bias == b.norm_bias},
      {"the final norm", a.final_norm == b.final_norm},
      {"the norm of embeddings", a.embedding_norm == b.embedding_norm},
      {"norms of queries and keys", a.query_key_norm == b.query_key_norm},
      {"parallel_residual", a.parallel_residual == b.parallel_residual},
      {"one norm for both branches", a.one_norm == b.one_norm},
      {"the kind of positions", a.positions == b.positions},
      {"the offset of positions", a.position_offset == b.position_offset},
      {"layers without RoPE", effective_rope_layers(a) == effective_rope_layers(b)},
      {"alibi_bias_max", a.positions != Positions::alibi || a.alibi_max == b.alibi_max},
      {"scaled ALiBi", a.alibi_scaled == b.alibi_scaled},
      {"biases of query, key and value", a.qkv_bias == b.qkv_bias},
      {"the attention output's bias", a.attention_output_bias == b.attention_output_bias},
      {"biases of the MLP", a.mlp_bias == b.mlp_bias},
      {"the head's bias", a.head_bias == b.head_bias},
      {"the activation", a.activation == b.activation},
      {"the gated MLP", a.gated_mlp == b.gated_mlp},
      {"the attention's scale", std::fabs(effective_scale(a) - effective_scale(b)) < 1e-6f},
      {"scale_attn_by_inverse_layer_idx", a.attention_scale_by_layer == b.attention_scale_by_layer},
      {"attn_logit_softcapping", a.attention_softcap == b.attention_softcap},
      {"final_logit_softcapping", a.logit_softcap == b.logit_softcap},
      {"the embedding's scale", a.embedding_scale == b.embedding_scale},
      {"the residual's scale", a.residual_scale == b.residual_scale},
      {"logit_scale", a.logit_scale == b.logit_scale},
      {"clip_qkv", a.clip_qkv == b.clip_qkv},
      {"sliding windows", effective_windows(a) == effective_windows(b)},
      {"tied embeddings", a.tied_head == b.tied_head},
      {"attention in both directions", a.causal == b.causal},
      {"the head", a.has_head == b.has_head},
      {"token types", a.token_types == b.token_types},
  };
  for (const auto& [name, equal] : same)
    if (!equal) return name;
  if (a.positions != Positions::rope) return "";
  if (!same_rope(a.rope, b.rope, a.max_positions)) return "RoPE";
  const bool local = a.local_rope.rotary_dim > 0;
  if (local != (b.local_rope.rotary_dim > 0) ||
      (local && !same_rope(a.local_rope, b.local_rope, a.max_positions)))
    return "RoPE of layers with a window";
  return "";
}

}  // namespace sumi::models

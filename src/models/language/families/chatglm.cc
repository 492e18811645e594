// ChatGLM-6B (arXiv:2103.10360, 2210.02414): a prompt whose tokens all see each other, positions in
// two dimensions, and norms on the trunk.
#include <cmath>

#include "base/half.h"
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

// ChatGLM-6B keeps the frequencies of its rotations as f16.
std::vector<float> half_precision_factors(const ops::RopeOptions& rope) {
  std::vector<float> factors = ops::rope_frequencies(rope, 1).inverse;
  for (float& f : factors) f /= base::f16_to_float(base::float_to_f16(f));
  return factors;
}

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec;
  spec.vocab_size = config.get_int("vocab_size");
  spec.hidden_size = config.get_int("hidden_size");
  spec.intermediate_size = config.get_int("inner_hidden_size", 4 * spec.hidden_size);
  spec.num_layers = config.get_int("num_layers");
  spec.num_heads = spec.num_kv_heads = config.get_int("num_attention_heads");
  spec.head_dim = default_head_dim(spec, config.file());
  spec.max_positions = config.get_int("max_sequence_length", 2048);
  if (!config.get_bool("position_encoding_2d", false))
    fail("{}: position_encoding_2d: ChatGLM-6B without it is not known", config.file());
  use_layer_norms(spec);
  spec.norm_eps = static_cast<float>(config.get_float("layernorm_epsilon", 1e-5));
  spec.norm_place = NormPlace::trunk;
  spec.trunk_scale = std::sqrt(2 * static_cast<float>(spec.num_layers));
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = true;
  spec.activation = ops::Activation::gelu_tanh;
  spec.rope.rotary_dim = spec.head_dim / 2;
  spec.has_prefix = true;
  spec.mask_id = static_cast<int32_t>(config.get_int("gmask_token_id"));
  spec.start_id = static_cast<int32_t>(config.get_int("bos_token_id"));
  check_spec(spec, config.file());  // before frequencies are made of it
  spec.rope.frequency_factors = half_precision_factors(spec.rope);
  return spec;
}

// Its relatives of later say "ChatGLMModel", too.
bool is_first(const Config& config) { return config.has("position_encoding_2d"); }

}  // namespace

Family chatglm_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "transformer.word_embeddings", nullptr},
      {Slot::attention_norm, "transformer.layers.{}.input_layernorm", nullptr},
      {Slot::query_key_value, "transformer.layers.{}.attention.query_key_value", nullptr,
       Layout::heads_interleaved},
      {Slot::attention_output, "transformer.layers.{}.attention.dense", nullptr},
      {Slot::mlp_norm, "transformer.layers.{}.post_attention_layernorm", nullptr},
      {Slot::up, "transformer.layers.{}.mlp.dense_h_to_4h", nullptr},
      {Slot::down, "transformer.layers.{}.mlp.dense_4h_to_h", nullptr},
      {Slot::final_norm, "transformer.final_layernorm", nullptr},
      {Slot::head, "lm_head", nullptr},
  };
  return {"chatglm-6b", {"ChatGLMModel", "ChatGLMForConditionalGeneration"},
          {"chatglm"},  {},
          weights,      from_config,
          nullptr,      is_first};
}

}  // namespace sumi::models

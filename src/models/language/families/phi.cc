// Phi-1, 1.5 and 2 (arXiv:2309.05463): attention and MLP side by side after one norm, biases
// everywhere, part of each head rotates.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

void use_phi_layers(DecoderSpec& spec) {
  use_layer_norms(spec);
  spec.parallel_residual = spec.one_norm = true;
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = true;
  spec.head_bias = !spec.tied_head;
}

DecoderSpec from_config(const Config& config) {
  if (config.get_bool("qk_layernorm", false))
    fail("{}: qk_layernorm: norms of Phi's queries are not known", config.file());
  DecoderSpec spec = common_spec(config);
  use_phi_layers(spec);
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_eps", 1e-5));
  spec.activation = config.get_activation("hidden_act", "gelu_new");
  if (!config.has("partial_rotary_factor") && !config.has("rope_parameters"))
    spec.rope.rotary_dim = spec.head_dim / 2;
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  use_phi_layers(spec);
  spec.activation = ops::Activation::gelu_tanh;
  return spec;
}

}  // namespace

Family phi_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "model.embed_tokens", "token_embd"},
      {Slot::attention_norm, "model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
      {Slot::query_key_value, nullptr, "blk.{}.attn_qkv"},
      {Slot::query, "model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"},
      {Slot::key, "model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"},
      {Slot::value, "model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"},
      {Slot::attention_output, "model.layers.{}.self_attn.dense", "blk.{}.attn_output"},
      {Slot::up, "model.layers.{}.mlp.fc1", "blk.{}.ffn_up"},
      {Slot::down, "model.layers.{}.mlp.fc2", "blk.{}.ffn_down"},
      {Slot::final_norm, "model.final_layernorm", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
  return {"phi2", {"PhiForCausalLM"}, {"phi"}, {"phi2"}, weights, from_config, from_gguf};
}

}  // namespace sumi::models

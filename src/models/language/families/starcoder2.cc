// StarCoder2 (arXiv:2402.19173): grouped key/value heads, a sliding window, RoPE, with GPT-2's
// layer norms, biases and plain MLP.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  use_layer_norms(spec);
  spec.norm_eps = static_cast<float>(config.get_float("norm_epsilon", 1e-5));
  spec.activation = config.get_activation("hidden_act", "gelu_pytorch_tanh");
  spec.tied_head = config.get_bool("tie_word_embeddings", true);
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = config.get_bool("use_bias", true);
  if (config.has("sliding_window"))
    spec.windows.assign(static_cast<size_t>(spec.num_layers), config.get_int("sliding_window"));
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  use_layer_norms(spec);
  spec.activation = ops::Activation::gelu_tanh;
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = gguf_layer_has(file, "attn_q.bias");
  const int64_t window = file.get_int(gguf_key(file, "attention.sliding_window"), 0);
  if (window != 0) spec.windows.assign(static_cast<size_t>(spec.num_layers), window);
  return spec;
}

}  // namespace

Family starcoder2_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "model.embed_tokens", "token_embd"},
      {Slot::attention_norm, "model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
      {Slot::query, "model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"},
      {Slot::key, "model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"},
      {Slot::value, "model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"},
      {Slot::attention_output, "model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"},
      {Slot::mlp_norm, "model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
      {Slot::up, "model.layers.{}.mlp.c_fc", "blk.{}.ffn_up"},
      {Slot::down, "model.layers.{}.mlp.c_proj", "blk.{}.ffn_down"},
      {Slot::final_norm, "model.norm", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
  return {
      "starcoder2", {"Starcoder2ForCausalLM"}, {"starcoder2"}, {"starcoder2"}, weights, from_config,
      from_gguf};
}

}  // namespace sumi::models

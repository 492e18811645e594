// GPT-NeoX (arXiv:2204.06745), Pythia, Dolly 2: attention and MLP side by side, part of each head
// rotates.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  use_layer_norms(spec);
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_eps", 1e-5));
  spec.activation = config.get_activation("hidden_act", "gelu");
  spec.parallel_residual = config.get_bool("use_parallel_residual", true);
  spec.qkv_bias = spec.attention_output_bias = config.get_bool("attention_bias", true);
  spec.mlp_bias = true;
  // The keys of its own time; newer files say the same in rope_parameters.
  if (!config.has("rope_parameters")) {
    spec.rope.theta = config.get_float("rotary_emb_base", config.get_float("rope_theta", 10000));
    spec.rope.rotary_dim = static_cast<int64_t>(static_cast<double>(spec.head_dim) *
                                                config.get_float("rotary_pct", 0.25));
  }
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  use_layer_norms(spec);
  spec.activation = ops::Activation::gelu;
  spec.parallel_residual = file.get_bool(gguf_key(file, "use_parallel_residual"), true);
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = true;
  return spec;
}

}  // namespace

Family gpt_neox_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "gpt_neox.embed_in", "token_embd"},
      {Slot::attention_norm, "gpt_neox.layers.{}.input_layernorm", "blk.{}.attn_norm"},
      {Slot::query_key_value, "gpt_neox.layers.{}.attention.query_key_value", "blk.{}.attn_qkv",
       Layout::heads_interleaved},
      {Slot::attention_output, "gpt_neox.layers.{}.attention.dense", "blk.{}.attn_output"},
      {Slot::mlp_norm, "gpt_neox.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
      {Slot::up, "gpt_neox.layers.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up"},
      {Slot::down, "gpt_neox.layers.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down"},
      {Slot::final_norm, "gpt_neox.final_layer_norm", "output_norm"},
      {Slot::head, "embed_out", "output"},
      {Slot::head, "lm_head", nullptr},
  };
  return {"gptneox", {"GPTNeoXForCausalLM"}, {"gpt_neox"}, {"gptneox"}, weights, from_config,
          from_gguf};
}

}  // namespace sumi::models

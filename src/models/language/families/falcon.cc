// Falcon (arXiv:2311.16867): attention and MLP side by side and no biases. The 7B has one key/value
// head and one norm, the 40B groups and two norms; Falcon-RW is a plain decoder with ALiBi.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec;
  spec.vocab_size = config.get_int("vocab_size");
  spec.hidden_size =
      config.has("n_embed") ? config.get_int("n_embed") : config.get_int("hidden_size");
  spec.num_layers =
      config.has("n_layer") ? config.get_int("n_layer") : config.get_int("num_hidden_layers");
  spec.num_heads =
      config.has("n_head") ? config.get_int("n_head") : config.get_int("num_attention_heads");
  spec.head_dim = default_head_dim(spec, config.file());
  // The 40B's first files (RefinedWeb) do not say it: several key/value heads do.
  const bool grouped =
      config.get_bool("new_decoder_architecture", config.get_int("n_head_kv", 1) > 1);
  const bool multi_query = config.get_bool("multi_query", true);
  spec.num_kv_heads = spec.num_heads;
  if (grouped)
    spec.num_kv_heads =
        config.get_int(config.has("n_head_kv") ? "n_head_kv" : "num_kv_heads", spec.num_heads);
  else if (multi_query)
    spec.num_kv_heads = 1;
  spec.intermediate_size = config.get_int("ffn_hidden_size", 4 * spec.hidden_size);
  spec.max_positions = config.get_int("max_position_embeddings", 2048);
  use_layer_norms(spec);
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_epsilon", 1e-5));
  spec.activation = config.get_activation("activation", "gelu");
  spec.parallel_residual = grouped || config.get_bool("parallel_attn", true);
  spec.one_norm =
      spec.parallel_residual && (!grouped || config.get_int("num_ln_in_parallel_attn", 2) == 1);
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = config.get_bool("bias", false);
  spec.tied_head = config.get_bool("tie_word_embeddings", true);
  read_rope(config, spec);
  if (config.get_bool("alibi", false)) {
    spec.positions = Positions::alibi;
    spec.alibi_scaled = true;
  }
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  use_layer_norms(spec);
  spec.activation = ops::Activation::gelu;
  spec.parallel_residual = true;
  spec.one_norm = !gguf_layer_has(file, "attn_norm_2.weight");
  return spec;
}

}  // namespace

Family falcon_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "transformer.word_embeddings", "token_embd"},
      {Slot::attention_norm, "transformer.h.{}.ln_attn", "blk.{}.attn_norm_2"},
      {Slot::attention_norm, "transformer.h.{}.input_layernorm", "blk.{}.attn_norm"},
      {Slot::query_key_value, "transformer.h.{}.self_attention.query_key_value", "blk.{}.attn_qkv",
       Layout::heads_interleaved},
      {Slot::attention_output, "transformer.h.{}.self_attention.dense", "blk.{}.attn_output"},
      {Slot::mlp_norm, "transformer.h.{}.ln_mlp", "blk.{}.attn_norm"},
      {Slot::mlp_norm, "transformer.h.{}.post_attention_layernorm", nullptr},
      {Slot::up, "transformer.h.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up"},
      {Slot::down, "transformer.h.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down"},
      {Slot::final_norm, "transformer.ln_f", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
  return {"falcon",
          {"FalconForCausalLM", "RWForCausalLM"},
          {"falcon", "RefinedWeb", "RefinedWebModel"},
          {"falcon"},
          weights,
          from_config,
          from_gguf};
}

}  // namespace sumi::models

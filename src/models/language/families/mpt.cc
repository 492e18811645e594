// MPT (MosaicML 2023): ALiBi instead of positions, no biases, optionally clipped or normed queries
// and keys.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

// ALiBi goes on beyond the length of training, with growing error; its authors show about twice.
constexpr int64_t kBeyond = 2;

void use_mpt_layers(DecoderSpec& spec) {
  use_layer_norms(spec);
  spec.norm_bias = false;
  spec.positions = Positions::alibi;
  spec.activation = ops::Activation::gelu;
  spec.max_positions *= kBeyond;
}

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec;
  spec.vocab_size = config.get_int("vocab_size");
  spec.hidden_size = config.get_int("d_model");
  spec.num_layers = config.get_int("n_layers");
  spec.num_heads = spec.num_kv_heads = config.get_int("n_heads");
  spec.head_dim = default_head_dim(spec, config.file());
  spec.intermediate_size = config.get_int("expansion_ratio", 4) * spec.hidden_size;
  spec.max_positions = config.get_int("max_seq_len", 2048);
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_epsilon", 1e-5));
  spec.tied_head = config.get_bool("tie_word_embeddings", true);
  use_mpt_layers(spec);
  if (!config.get_bool("no_bias", true))
    fail("{}: no_bias: MPT with biases is not known", config.file());
  if (config.has("logit_scale")) fail("{}: logit_scale is not known", config.file());
  if (!config.has("attn_config")) return spec;
  const Config attention = config.get_object("attn_config");
  if (!attention.get_bool("alibi", true))
    fail("{}: alibi: MPT without ALiBi is not known", attention.file());
  if (attention.get_bool("prefix_lm", false)) fail("{}: prefix_lm is not known", attention.file());
  if (attention.get_string("attn_type", "multihead_attention") != "multihead_attention")
    fail("{}: attn_type: expected multihead_attention", attention.file());
  spec.alibi_max = static_cast<float>(attention.get_float("alibi_bias_max", 8));
  spec.clip_qkv = static_cast<float>(attention.get_float("clip_qkv", 0));
  spec.attention_scale = static_cast<float>(attention.get_float("softmax_scale", 0));
  if (attention.get_bool("qk_ln", false)) spec.query_key_norm = QueryKeyNorm::all;
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  use_mpt_layers(spec);
  spec.alibi_max =
      static_cast<float>(file.get_float(gguf_key(file, "attention.max_alibi_bias"), 8));
  spec.clip_qkv = static_cast<float>(file.get_float(gguf_key(file, "attention.clamp_kqv"), 0));
  if (gguf_layer_has(file, "attn_q_norm.weight")) spec.query_key_norm = QueryKeyNorm::all;
  return spec;
}

}  // namespace

Family mpt_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "transformer.wte", "token_embd"},
      {Slot::attention_norm, "transformer.blocks.{}.norm_1", "blk.{}.attn_norm"},
      {Slot::query_key_value, "transformer.blocks.{}.attn.Wqkv", "blk.{}.attn_qkv"},
      {Slot::query_norm, "transformer.blocks.{}.attn.q_ln", "blk.{}.attn_q_norm"},
      {Slot::key_norm, "transformer.blocks.{}.attn.k_ln", "blk.{}.attn_k_norm"},
      {Slot::attention_output, "transformer.blocks.{}.attn.out_proj", "blk.{}.attn_output"},
      {Slot::mlp_norm, "transformer.blocks.{}.norm_2", "blk.{}.ffn_norm"},
      {Slot::up, "transformer.blocks.{}.ffn.up_proj", "blk.{}.ffn_up"},
      {Slot::down, "transformer.blocks.{}.ffn.down_proj", "blk.{}.ffn_down"},
      {Slot::final_norm, "transformer.norm_f", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
  return {"mpt",     {"MptForCausalLM", "MPTForCausalLM"},
          {"mpt"},   {"mpt"},
          weights,   from_config,
          from_gguf, nullptr,
          nullptr,   1,
          kBeyond};
}

}  // namespace sumi::models

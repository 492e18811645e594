// ChatGLM2 and 3, GLM-4 in its own files, CodeGeeX2 (arXiv:2406.12793): RMS norms, grouped
// key/value heads, query, key and value, and gate and up, in one weight each, neighbouring elements
// of each head's first half rotating.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec;
  spec.vocab_size = config.get_int("padded_vocab_size");
  spec.hidden_size = config.get_int("hidden_size");
  spec.intermediate_size = config.get_int("ffn_hidden_size");
  spec.num_layers = config.get_int("num_layers");
  spec.num_heads = spec.num_kv_heads = config.get_int("num_attention_heads");
  if (config.get_bool("multi_query_attention", false))
    spec.num_kv_heads = config.get_int("multi_query_group_num");
  spec.head_dim = config.get_int("kv_channels", 128);
  spec.max_positions = config.get_int("seq_length", 2048);
  spec.norm_eps = static_cast<float>(config.get_float("layernorm_epsilon", 1e-5));
  for (const char* key : {"rmsnorm", "post_layer_norm", "original_rope"})
    if (!config.get_bool(key, true)) fail("{}: {}: expected true", config.file(), key);
  for (const char* key : {"apply_residual_connection_post_layernorm", "add_bias_linear"})
    if (config.get_bool(key, false)) fail("{}: {}: expected false", config.file(), key);
  spec.qkv_bias = config.get_bool("add_qkv_bias", false);
  spec.tied_head = config.get_bool("tie_word_embeddings", false);
  spec.rope.rotary_dim = spec.head_dim / 2;
  spec.rope.pairs = ops::RopePairs::neighbours;
  spec.rope.theta = 10000 * config.get_float("rope_ratio", 1);
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  spec.rope.pairs = ops::RopePairs::neighbours;
  spec.qkv_bias = gguf_layer_has(file, "attn_qkv.bias") || gguf_layer_has(file, "attn_q.bias");
  return spec;
}

}  // namespace

Family chatglm2_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "transformer.embedding.word_embeddings", "token_embd"},
      {Slot::attention_norm, "transformer.encoder.layers.{}.input_layernorm", "blk.{}.attn_norm"},
      {Slot::query_key_value, "transformer.encoder.layers.{}.self_attention.query_key_value",
       "blk.{}.attn_qkv"},
      {Slot::query, nullptr, "blk.{}.attn_q"},  // of files made from transformers' glm
      {Slot::key, nullptr, "blk.{}.attn_k"},
      {Slot::value, nullptr, "blk.{}.attn_v"},
      {Slot::attention_output, "transformer.encoder.layers.{}.self_attention.dense",
       "blk.{}.attn_output"},
      {Slot::mlp_norm, "transformer.encoder.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
      {Slot::gate_up, "transformer.encoder.layers.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up"},
      {Slot::down, "transformer.encoder.layers.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down"},
      {Slot::final_norm, "transformer.encoder.final_layernorm", "output_norm"},
      {Slot::head, "transformer.output_layer", "output"},
  };
  return {"chatglm",   {"ChatGLMModel", "ChatGLMForConditionalGeneration"},
          {"chatglm"}, {"chatglm"},
          weights,     from_config,
          from_gguf};
}

}  // namespace sumi::models

// BLOOM and BLOOMZ (arXiv:2211.05100): ALiBi instead of positions, a norm after the embedding,
// biases everywhere.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

constexpr int64_t kTrainedLength = 2048;
constexpr int64_t kBeyond = 2;  // ALiBi goes on beyond it

void use_bloom_layers(DecoderSpec& spec) {
  use_layer_norms(spec);
  spec.embedding_norm = true;
  spec.positions = Positions::alibi;
  spec.activation = ops::Activation::gelu_tanh;
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = true;
}

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec;
  const auto either = [&](const char* one, const char* other) {
    return config.get_int(config.has(one) ? one : other);
  };
  spec.vocab_size = config.get_int("vocab_size");
  spec.hidden_size = either("n_embed", "hidden_size");
  spec.num_layers = either("n_layer", "num_hidden_layers");
  spec.num_heads = spec.num_kv_heads = either("n_head", "num_attention_heads");
  spec.head_dim = default_head_dim(spec, config.file());
  spec.intermediate_size = 4 * spec.hidden_size;
  spec.max_positions = kBeyond * config.get_int("seq_length", kTrainedLength);
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_epsilon", 1e-5));
  spec.tied_head = config.get_bool("tie_word_embeddings", true);
  if (config.get_bool("apply_residual_connection_post_layernorm", false))
    fail("{}: apply_residual_connection_post_layernorm is not known", config.file());
  use_bloom_layers(spec);
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  use_bloom_layers(spec);
  spec.max_positions *= kBeyond;
  return spec;
}

}  // namespace

Family bloom_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "transformer.word_embeddings", "token_embd"},
      {Slot::embedding_norm, "transformer.word_embeddings_layernorm", "token_embd_norm"},
      {Slot::attention_norm, "transformer.h.{}.input_layernorm", "blk.{}.attn_norm"},
      {Slot::query_key_value, "transformer.h.{}.self_attention.query_key_value", "blk.{}.attn_qkv",
       Layout::heads_interleaved},
      {Slot::attention_output, "transformer.h.{}.self_attention.dense", "blk.{}.attn_output"},
      {Slot::mlp_norm, "transformer.h.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
      {Slot::up, "transformer.h.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up"},
      {Slot::down, "transformer.h.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down"},
      {Slot::final_norm, "transformer.ln_f", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
  return {"bloom",   {"BloomForCausalLM", "BloomModel"},
          {"bloom"}, {"bloom"},
          weights,   from_config,
          from_gguf, nullptr,
          nullptr,   1,
          kBeyond};
}

}  // namespace sumi::models

// Qwen (arXiv:2309.16609), before Qwen2: LLaMA with GPT-2's names and biases on query, key and
// value.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

constexpr int64_t kMlpWidths = 2;  // the sizes in files count gate and up

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec;
  spec.vocab_size = config.get_int("vocab_size");
  spec.hidden_size = config.get_int("hidden_size");
  spec.intermediate_size = config.get_int("intermediate_size") / kMlpWidths;
  spec.num_layers = config.get_int("num_hidden_layers");
  spec.num_heads = spec.num_kv_heads = config.get_int("num_attention_heads");
  spec.head_dim = config.get_int("kv_channels", 128);
  // Beyond the length of training Qwen scales rotations and queries by the length; we end there.
  spec.max_positions = config.get_int("seq_length", 2048);
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_epsilon", 1e-6));
  spec.qkv_bias = true;
  spec.attention_output_bias = spec.mlp_bias = !config.get_bool("no_bias", true);
  spec.tied_head = config.get_bool("tie_word_embeddings", false);
  spec.rope.rotary_dim =
      static_cast<int64_t>(static_cast<double>(spec.head_dim) * config.get_float("rotary_pct", 1));
  spec.rope.theta = config.get_float("rotary_emb_base", 10000);
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  spec.intermediate_size /= kMlpWidths;
  spec.qkv_bias = true;
  return spec;
}

}  // namespace

Family qwen_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "transformer.wte", "token_embd"},
      {Slot::attention_norm, "transformer.h.{}.ln_1", "blk.{}.attn_norm"},
      {Slot::query_key_value, "transformer.h.{}.attn.c_attn", "blk.{}.attn_qkv"},
      {Slot::attention_output, "transformer.h.{}.attn.c_proj", "blk.{}.attn_output"},
      {Slot::mlp_norm, "transformer.h.{}.ln_2", "blk.{}.ffn_norm"},
      {Slot::gate, "transformer.h.{}.mlp.w2", "blk.{}.ffn_gate"},
      {Slot::up, "transformer.h.{}.mlp.w1", "blk.{}.ffn_up"},
      {Slot::down, "transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down"},
      {Slot::final_norm, "transformer.ln_f", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
  return {"qwen",    {"QWenLMHeadModel"},
          {"qwen"},  {"qwen"},
          weights,   from_config,
          from_gguf, nullptr,
          nullptr,   kMlpWidths};
}

}  // namespace sumi::models

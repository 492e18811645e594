// Qwen2 and Qwen2.5 (arXiv:2407.10671): LLaMA with biases on query, key and value. Qwen3
// (arXiv:2505.09388): without them, with norms of each head's query and key.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec windowed(const Config& config) {
  DecoderSpec spec = common_spec(config);
  if (!config.get_bool("use_sliding_window", false) || config.is_null("sliding_window"))
    return spec;
  const int64_t first = config.get_int("max_window_layers", 28);
  read_layer_windows(config, spec, config.get_int("sliding_window", 4096),
                     [first](int64_t layer) { return layer >= first; });
  return spec;
}

DecoderSpec qwen2_from_config(const Config& config) {
  DecoderSpec spec = windowed(config);
  spec.qkv_bias = true;
  return spec;
}

DecoderSpec qwen2_from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  spec.qkv_bias = true;
  return spec;
}

DecoderSpec qwen3_from_config(const Config& config) {
  DecoderSpec spec = windowed(config);
  spec.query_key_norm = QueryKeyNorm::heads;
  spec.qkv_bias = spec.attention_output_bias = config.get_bool("attention_bias", false);
  return spec;
}

DecoderSpec qwen3_from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  spec.query_key_norm = QueryKeyNorm::heads;
  spec.qkv_bias = gguf_layer_has(file, "attn_q.bias");
  spec.attention_output_bias = gguf_layer_has(file, "attn_output.bias");
  return spec;
}

}  // namespace

Family qwen2_family() {
  return {"qwen2",        {"Qwen2ForCausalLM"},         {"qwen2"},
          {"qwen2"},      llama_weights(Layout::plain), qwen2_from_config,
          qwen2_from_gguf};
}

Family qwen3_family() {
  WeightTable weights = llama_weights(Layout::plain);
  weights.push_back({Slot::query_norm, "model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"});
  weights.push_back({Slot::key_norm, "model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"});
  return {"qwen3", {"Qwen3ForCausalLM"}, {"qwen3"},      {"qwen3"},
          weights, qwen3_from_config,    qwen3_from_gguf};
}

}  // namespace sumi::models

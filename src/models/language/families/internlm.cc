// InternLM: LLaMA with biases in the attention. InternLM2 (arXiv:2403.17297): without, and with
// query, key and value of each key/value head side by side.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec internlm_from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  spec.qkv_bias = spec.attention_output_bias = config.get_bool("bias", true);
  return spec;
}

DecoderSpec internlm2_from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  spec.qkv_bias = spec.attention_output_bias = config.get_bool("bias", false);
  return spec;
}

DecoderSpec internlm2_from_gguf(const formats::GgufFile& file) { return common_spec(file); }

}  // namespace

Family internlm_family() {
  return {"internlm", {"InternLMForCausalLM"},      {"internlm"},
          {},         llama_weights(Layout::rotary_neighbours), internlm_from_config,
          nullptr,    nullptr,
          "llama"};
}

Family internlm2_family() {
  constexpr Layout turned = Layout::rotary_neighbours;
  const WeightTable weights = {
      {Slot::token_embedding, "model.tok_embeddings", "token_embd"},
      {Slot::attention_norm, "model.layers.{}.attention_norm", "blk.{}.attn_norm"},
      {Slot::query_key_value, "model.layers.{}.attention.wqkv", nullptr, Layout::heads_interleaved},
      {Slot::query, nullptr, "blk.{}.attn_q", Layout::plain, turned},
      {Slot::key, nullptr, "blk.{}.attn_k", Layout::plain, turned},
      {Slot::value, nullptr, "blk.{}.attn_v"},
      {Slot::attention_output, "model.layers.{}.attention.wo", "blk.{}.attn_output"},
      {Slot::mlp_norm, "model.layers.{}.ffn_norm", "blk.{}.ffn_norm"},
      {Slot::gate, "model.layers.{}.feed_forward.w1", "blk.{}.ffn_gate"},
      {Slot::up, "model.layers.{}.feed_forward.w3", "blk.{}.ffn_up"},
      {Slot::down, "model.layers.{}.feed_forward.w2", "blk.{}.ffn_down"},
      {Slot::final_norm, "model.norm", "output_norm"},
      {Slot::head, "output", "output"},
  };
  return {"internlm2", {"InternLM2ForCausalLM"}, {"internlm2"},      {"internlm2"},
          weights,     internlm2_from_config,    internlm2_from_gguf};
}

}  // namespace sumi::models

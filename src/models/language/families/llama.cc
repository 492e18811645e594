// LLaMA 1 to 3, and what is built the same way: SmolLM2, TinyLlama, Vicuna ... (arXiv:2302.13971),
// and Mistral (arXiv:2310.06825), whose layers see only a window of keys.
#include "models/language/families/families.h"

namespace sumi::models {

WeightTable llama_weights(Layout gguf_query_key_layout) {
  return {
      {Slot::token_embedding, "model.embed_tokens", "token_embd"},
      {Slot::attention_norm, "model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
      {Slot::query, "model.layers.{}.self_attn.q_proj", "blk.{}.attn_q", Layout::plain,
       gguf_query_key_layout},
      {Slot::key, "model.layers.{}.self_attn.k_proj", "blk.{}.attn_k", Layout::plain,
       gguf_query_key_layout},
      {Slot::value, "model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"},
      {Slot::attention_output, "model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"},
      {Slot::mlp_norm, "model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
      {Slot::gate, "model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"},
      {Slot::up, "model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"},
      {Slot::down, "model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"},
      {Slot::final_norm, "model.norm", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
}

namespace {

DecoderSpec llama_from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  spec.qkv_bias = spec.attention_output_bias = config.get_bool("attention_bias", false);
  spec.mlp_bias = config.get_bool("mlp_bias", false);
  return spec;
}

// GGUF has no keys for biases: the tensors tell. Mistral's files say "llama" too.
DecoderSpec llama_from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  spec.qkv_bias = gguf_layer_has(file, "attn_q.bias");
  spec.attention_output_bias = gguf_layer_has(file, "attn_output.bias");
  spec.mlp_bias = gguf_layer_has(file, "ffn_down.bias");
  const int64_t window = file.get_int(gguf_key(file, "attention.sliding_window"), 0);
  if (window != 0) spec.windows.assign(static_cast<size_t>(spec.num_layers), window);
  return spec;
}

DecoderSpec mistral_from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  // Absent means transformers' default; null means none.
  if (!config.is_null("sliding_window"))
    spec.windows.assign(static_cast<size_t>(spec.num_layers),
                        config.get_int("sliding_window", 4096));
  return spec;
}

}  // namespace

Family llama_family() {
  return {"llama",        {"LlamaForCausalLM", "LLaMAForCausalLM"}, {"llama"},
          {"llama"},      llama_weights(Layout::rotary_neighbours), llama_from_config,
          llama_from_gguf};
}

// The first files of Yi (arXiv:2403.04652) name two norms their own way; later ones say "llama".
Family yi_family() {
  WeightTable weights = llama_weights(Layout::rotary_neighbours);
  weights.push_back({Slot::attention_norm, "model.layers.{}.ln1", nullptr});
  weights.push_back({Slot::mlp_norm, "model.layers.{}.ln2", nullptr});
  return {"yi",    {"YiForCausalLM"}, {"Yi"}, {}, weights, llama_from_config,
          nullptr, nullptr,           "llama"};
}

Family mistral_family() {
  return {"mistral",
          {"MistralForCausalLM"},
          {"mistral"},
          {},
          llama_weights(Layout::rotary_neighbours),
          mistral_from_config,
          llama_from_gguf,
          nullptr,
          "llama"};
}

}  // namespace sumi::models

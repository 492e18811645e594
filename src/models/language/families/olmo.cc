// OLMo (arXiv:2402.00838): LLaMA with layer norms that have no weights. OLMo 2 (arXiv:2501.00656):
// norms of each branch's output and of all queries and keys.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

void use_bare_norms(DecoderSpec& spec) {
  spec.norm = nn::NormKind::layer;
  spec.norm_weight = false;
}

DecoderSpec olmo_from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  use_bare_norms(spec);
  spec.norm_eps = 1e-5f;
  spec.clip_qkv = static_cast<float>(config.get_float("clip_qkv", 0));
  spec.qkv_bias = spec.attention_output_bias = config.get_bool("attention_bias", false);
  return spec;
}

DecoderSpec olmo_from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  use_bare_norms(spec);
  spec.clip_qkv = static_cast<float>(file.get_float(gguf_key(file, "attention.clamp_kqv"), 0));
  return spec;
}

DecoderSpec olmo2_from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  spec.norm_eps = static_cast<float>(config.get_float("rms_norm_eps", 1e-5));
  spec.norm_place = NormPlace::output;
  spec.query_key_norm = QueryKeyNorm::all;
  spec.qkv_bias = spec.attention_output_bias = config.get_bool("attention_bias", false);
  return spec;
}

DecoderSpec olmo2_from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  spec.norm_place = NormPlace::output;
  spec.query_key_norm = QueryKeyNorm::all;
  return spec;
}

}  // namespace

Family olmo_family() {
  return {"olmo",
          {"OlmoForCausalLM"},
          {"olmo"},
          {"olmo"},
          llama_weights(Layout::rotary_neighbours),
          olmo_from_config,
          olmo_from_gguf};
}

Family olmo2_family() {
  WeightTable weights = without(llama_weights(Layout::plain), Slot::attention_norm);
  weights = without(weights, Slot::mlp_norm);
  weights.push_back({Slot::attention_post_norm, "model.layers.{}.post_attention_layernorm",
                     "blk.{}.post_attention_norm"});
  weights.push_back(
      {Slot::mlp_post_norm, "model.layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm"});
  weights.push_back({Slot::query_norm, "model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"});
  weights.push_back({Slot::key_norm, "model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"});
  return {"olmo2", {"Olmo2ForCausalLM"}, {"olmo2"},      {"olmo2"},
          weights, olmo2_from_config,    olmo2_from_gguf};
}

}  // namespace sumi::models

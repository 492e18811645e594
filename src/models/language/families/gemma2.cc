// Gemma 2 and 3, text (arXiv:2408.00118, 2503.19786): Gemma with norms around each branch and
// layers with windows. Gemma 2 caps scores, Gemma 3 norms queries and keys.
#include <cmath>

#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec windowed_from_config(const Config& config, int64_t pattern) {
  DecoderSpec spec = gemma_spec(config);
  if (config.get_bool("use_bidirectional_attention", false))
    fail("{}: use_bidirectional_attention is not known", config.file());
  spec.norm_place = NormPlace::around;
  spec.attention_scale =
      1 / std::sqrt(static_cast<float>(config.get_float("query_pre_attn_scalar", 256)));
  pattern = config.get_int("sliding_window_pattern", pattern);
  if (pattern < 1)
    fail("{}: sliding_window_pattern is {}, expected 1 or more", config.file(), pattern);
  if (!config.is_null("sliding_window"))
    read_layer_windows(config, spec, config.get_int("sliding_window", 4096),
                       [pattern](int64_t layer) { return (layer + 1) % pattern != 0; });
  return spec;
}

DecoderSpec gemma2_from_config(const Config& config) {
  DecoderSpec spec = windowed_from_config(config, 2);
  const auto cap = [&](const char* key, double missing) {
    return config.is_null(key) ? 0.0f : static_cast<float>(config.get_float(key, missing));
  };
  spec.attention_softcap = cap("attn_logit_softcapping", 50);
  spec.logit_softcap = cap("final_logit_softcapping", 30);
  return spec;
}

DecoderSpec gemma3_from_config(const Config& config) {
  DecoderSpec spec = windowed_from_config(config, 6);
  spec.query_key_norm = QueryKeyNorm::heads;
  spec.max_positions = config.get_int("max_position_embeddings");  // what the 4B's linear scaling reaches
  spec.attention_softcap = static_cast<float>(config.get_float("attn_logit_softcapping", 0));
  spec.logit_softcap = static_cast<float>(config.get_float("final_logit_softcapping", 0));
  if (spec.local_rope.rotary_dim == 0) {  // files of its own time
    spec.local_rope.rotary_dim = spec.head_dim;
    spec.local_rope.theta = config.get_float("rope_local_base_freq", 10000);
    if (!config.has("rope_theta")) spec.rope.theta = 1000000;
  }
  return spec;
}

DecoderSpec windowed_from_gguf(const formats::GgufFile& file, int64_t pattern,
                               int64_t layers_of_27b) {
  DecoderSpec spec = gemma_spec(file);
  spec.norm_place = NormPlace::around;
  // The 27B alone scales by the model's size; the format has no key for that.
  if (spec.num_layers == layers_of_27b)
    spec.attention_scale =
        1 / std::sqrt(static_cast<float>(spec.hidden_size) / static_cast<float>(spec.num_heads));
  const int64_t window = file.get_int(gguf_key(file, "attention.sliding_window"), 4096);
  for (int64_t i = 0; i < spec.num_layers; ++i)
    spec.windows.push_back((i + 1) % pattern != 0 ? window : 0);
  spec.attention_softcap =
      static_cast<float>(file.get_float(gguf_key(file, "attn_logit_softcapping"), 0));
  spec.logit_softcap =
      static_cast<float>(file.get_float(gguf_key(file, "final_logit_softcapping"), 0));
  return spec;
}

DecoderSpec gemma2_from_gguf(const formats::GgufFile& file) {
  return windowed_from_gguf(file, 2, 46);
}

DecoderSpec gemma3_from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = windowed_from_gguf(file, 6, 62);
  spec.query_key_norm = QueryKeyNorm::heads;
  spec.local_rope.rotary_dim = spec.head_dim;
  return spec;
}

WeightTable around_weights() {
  WeightTable table = llama_weights(Layout::plain);
  table = with_entry(std::move(table),
                     {Slot::attention_post_norm, "model.layers.{}.post_attention_layernorm",
                      "blk.{}.post_attention_norm"});
  table = with_entry(std::move(table), {Slot::mlp_norm, "model.layers.{}.pre_feedforward_layernorm",
                                        "blk.{}.ffn_norm"});
  table = with_entry(
      std::move(table),
      {Slot::mlp_post_norm, "model.layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm"});
  table = with_entry(std::move(table),
                     {Slot::query_norm, "model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"});
  table = with_entry(std::move(table),
                     {Slot::key_norm, "model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"});
  return table;
}

}  // namespace

Family gemma2_family() {
  return {"gemma2", {"Gemma2ForCausalLM"}, {"gemma2"},         {"gemma2"}, around_weights(),
          gemma2_from_config, gemma2_from_gguf, nullptr, nullptr, 1, 1, true};
}

Family gemma3_family() {
  return {"gemma3", {"Gemma3ForCausalLM"}, {"gemma3_text"},    {"gemma3"}, around_weights(),
          gemma3_from_config, gemma3_from_gguf, nullptr, nullptr, 1, 1, true};
}

}  // namespace sumi::models

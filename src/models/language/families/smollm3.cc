// SmolLM3: LLaMA in which every fourth layer does not rotate queries and keys (arXiv:2501.18795).
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  spec.qkv_bias = spec.attention_output_bias = config.get_bool("attention_bias", false);
  spec.mlp_bias = config.get_bool("mlp_bias", false);
  spec.tied_head = config.get_bool("tie_word_embeddings", true);
  if (!config.has("rope_theta") && !config.has("rope_parameters")) spec.rope.theta = 2000000;
  const int64_t interval = config.get_int("no_rope_layer_interval", 4);
  if (interval < 1)
    fail("{}: no_rope_layer_interval is {}, expected 1 or more", config.file(), interval);
  const std::vector<float> listed = config.get_floats("no_rope_layers");  // 1: rotates
  for (int64_t i = 0; i < spec.num_layers; ++i) spec.rope_layers.push_back((i + 1) % interval != 0);
  if (!listed.empty()) spec.rope_layers.assign(listed.begin(), listed.end());
  if (config.get_bool("use_sliding_window", false) && config.has("sliding_window"))
    read_layer_windows(config, spec, config.get_int("sliding_window"), [&](int64_t layer) {
      return !spec.rope_layers[static_cast<size_t>(layer)];
    });
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  for (int64_t i = 0; i < spec.num_layers; ++i) spec.rope_layers.push_back((i + 1) % 4 != 0);
  return spec;
}

}  // namespace

Family smollm3_family() {
  return {"smollm3",   {"SmolLM3ForCausalLM"},       {"smollm3"},
          {"smollm3"}, llama_weights(Layout::rotary_neighbours), from_config,
          from_gguf};
}

}  // namespace sumi::models

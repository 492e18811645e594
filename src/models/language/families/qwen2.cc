// Qwen2 and Qwen2.5 (arXiv:2407.10671): LLaMA with biases on query, key and value.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  spec.qkv_bias = true;
  const std::vector<std::string> types = config.get_strings("layer_types");
  const bool windows =
      config.get_bool("use_sliding_window", false) && !config.is_null("sliding_window");
  if (!windows) return spec;
  const int64_t window = config.get_int("sliding_window", 4096);
  const int64_t first = config.get_int("max_window_layers", 28);
  if (!types.empty() && static_cast<int64_t>(types.size()) != spec.num_layers)
    fail("{}: layer_types has {} entries, expected {}", config.file(), types.size(),
         spec.num_layers);
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    bool sliding = layer >= first;
    if (!types.empty()) {
      const std::string& type = types[static_cast<size_t>(layer)];
      sliding = type == "sliding_attention";
      if (!sliding && type != "full_attention")
        fail("{}: layer_types: expected full_attention or sliding_attention, found {}",
             config.file(), type);
    }
    spec.windows.push_back(sliding ? window : 0);
  }
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  spec.qkv_bias = true;
  return spec;
}

}  // namespace

Family qwen2_family() {
  return {"qwen2",   {"Qwen2ForCausalLM"},         {"qwen2"},
          {"qwen2"}, llama_weights(Layout::plain), from_config,
          from_gguf};
}

}  // namespace sumi::models

// Gemma, text (arXiv:2403.08295): LLaMA with scaled embeddings and norms that multiply by
// 1 + weight.
#include <cmath>

#include "models/language/families/families.h"

namespace sumi::models {

DecoderSpec gemma_spec(const Config& config) {
  DecoderSpec spec = common_spec(config);
  std::string activation =
      config.get_string("hidden_activation", config.get_string("hidden_act", "gelu_pytorch_tanh"));
  if (activation == "gelu") activation = "gelu_pytorch_tanh";  // first files say gelu and mean this
  spec.activation = ops::activation_from_name(activation, config.file() + ": hidden_activation");
  spec.norm_offset = 1;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  spec.tied_head = config.get_bool("tie_word_embeddings", true);
  spec.qkv_bias = spec.attention_output_bias = config.get_bool("attention_bias", false);
  return spec;
}

DecoderSpec gemma_spec(const formats::GgufFile& file) {  // norms are stored with the 1 added
  DecoderSpec spec = common_spec(file);
  spec.activation = ops::Activation::gelu_tanh;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  return spec;
}

Family gemma_family() {
  return {"gemma",        {"GemmaForCausalLM"},         {"gemma"},
          {"gemma"},      llama_weights(Layout::plain), gemma_spec,
          gemma_spec};
}

}  // namespace sumi::models

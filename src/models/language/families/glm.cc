// GLM-4 as transformers has it: LLaMA with biases on query, key and value, gate and up in one
// weight, and neighbouring elements of each head's first half rotating. The models of 2025 (glm4)
// norm each branch's output, too.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec glm_from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  spec.qkv_bias = config.get_bool("attention_bias", true);
  spec.rope.pairs = ops::RopePairs::neighbours;
  if (!config.has("partial_rotary_factor") && !config.has("rope_parameters"))
    spec.rope.rotary_dim = spec.head_dim / 2;
  return spec;
}

DecoderSpec glm4_from_config(const Config& config) {
  DecoderSpec spec = glm_from_config(config);
  spec.norm_place = NormPlace::around;
  return spec;
}

DecoderSpec glm4_from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  spec.qkv_bias = gguf_layer_has(file, "attn_q.bias");
  spec.rope.pairs = ops::RopePairs::neighbours;
  spec.norm_place = NormPlace::around;
  return spec;
}

WeightTable weights() {
  return with_entry(without(without(llama_weights(Layout::plain), Slot::gate), Slot::up),
                    {Slot::gate_up, "model.layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up"});
}

WeightTable around_weights() {
  WeightTable table = weights();
  table.push_back({Slot::attention_post_norm, "model.layers.{}.post_self_attn_layernorm",
                   "blk.{}.post_attention_norm"});
  table.push_back(
      {Slot::mlp_post_norm, "model.layers.{}.post_mlp_layernorm", "blk.{}.post_ffw_norm"});
  return table;
}

}  // namespace

// Its GGUF files say "chatglm".
Family glm_family() {
  return {"glm",   {"GlmForCausalLM"}, {"glm"}, {}, weights(), glm_from_config,
          nullptr, nullptr,            "chatglm"};
}

Family glm4_family() {
  return {"glm4",           {"Glm4ForCausalLM"}, {"glm4"},      {"glm4"},
          around_weights(), glm4_from_config,    glm4_from_gguf};
}

}  // namespace sumi::models

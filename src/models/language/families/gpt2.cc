// GPT-2 (Radford et al. 2019): layer norms, learned positions, biases everywhere, one fused
// query/key/value matrix. Its Hugging Face files keep weights as [in, out].
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

void use_gpt2_layers(DecoderSpec& spec) {
  use_layer_norms(spec);
  spec.positions = Positions::learned;
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = true;
}

}  // namespace

DecoderSpec gpt2_spec(const Config& config) {
  DecoderSpec spec = gpt_spec(config);
  use_gpt2_layers(spec);
  if (!config.get_bool("scale_attn_weights", true)) spec.attention_scale = 1;
  spec.tied_head = config.get_bool("tie_word_embeddings", true);
  return spec;
}

DecoderSpec gpt2_spec(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  use_gpt2_layers(spec);
  spec.activation = ops::Activation::gelu_tanh;
  return spec;
}

WeightTable gpt2_weights(Layout layout) {
  return {
      {Slot::token_embedding, "transformer.wte", "token_embd"},
      {Slot::position_embedding, "transformer.wpe", "position_embd"},
      {Slot::attention_norm, "transformer.h.{}.ln_1", "blk.{}.attn_norm"},
      {Slot::query_key_value, "transformer.h.{}.attn.c_attn", "blk.{}.attn_qkv", layout},
      {Slot::attention_output, "transformer.h.{}.attn.c_proj", "blk.{}.attn_output", layout},
      {Slot::mlp_norm, "transformer.h.{}.ln_2", "blk.{}.ffn_norm"},
      {Slot::up, "transformer.h.{}.mlp.c_fc", "blk.{}.ffn_up", layout},
      {Slot::down, "transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down", layout},
      {Slot::final_norm, "transformer.ln_f", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
}

namespace {

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = gpt2_spec(config);
  spec.attention_scale_by_layer = config.get_bool("scale_attn_by_inverse_layer_idx", false);
  return spec;
}

}  // namespace

Family gpt2_family() {
  return {"gpt2",   {"GPT2LMHeadModel"},              {"gpt2"},
          {"gpt2"}, gpt2_weights(Layout::transposed), from_config,
          gpt2_spec};
}

}  // namespace sumi::models

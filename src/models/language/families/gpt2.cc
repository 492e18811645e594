// GPT-2 (Radford et al. 2019): layer norms, learned positions, biases everywhere, one fused
// query/key/value matrix. Its Hugging Face files keep weights as [in, out].
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec shared() {
  DecoderSpec spec;
  spec.norm = nn::NormKind::layer;
  spec.norm_bias = true;
  spec.positions = Positions::learned;
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = true;
  spec.gated_mlp = false;
  spec.activation = ops::Activation::gelu_tanh;
  return spec;
}

void finish_heads(DecoderSpec& spec, const std::string& file) {
  if (spec.num_heads < 1 || spec.hidden_size % spec.num_heads != 0)
    fail("{}: hidden size {} is not a multiple of {} attention heads", file, spec.hidden_size,
         spec.num_heads);
  spec.num_kv_heads = spec.num_heads;
  spec.head_dim = spec.hidden_size / spec.num_heads;
}

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = shared();
  spec.vocab_size = config.get_int("vocab_size");
  spec.hidden_size = config.get_int("n_embd");
  spec.num_layers = config.get_int("n_layer");
  spec.num_heads = config.get_int("n_head");
  spec.max_positions = config.get_int("n_positions", 1024);
  finish_heads(spec, config.file());
  spec.intermediate_size = config.has("n_inner") ? config.get_int("n_inner") : 4 * spec.hidden_size;
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_epsilon", 1e-5));
  spec.activation = ops::activation_from_name(config.get_string("activation_function", "gelu_new"));
  if (!config.get_bool("scale_attn_weights", true)) spec.attention_scale = 1;
  spec.attention_scale_by_layer = config.get_bool("scale_attn_by_inverse_layer_idx", false);
  spec.tied_head = config.get_bool("tie_word_embeddings", true);
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec common = common_spec(file), spec = shared();
  spec.vocab_size = common.vocab_size;
  spec.hidden_size = common.hidden_size;
  spec.intermediate_size = common.intermediate_size;
  spec.num_layers = common.num_layers;
  spec.num_heads = common.num_heads;
  spec.max_positions = common.max_positions;
  spec.norm_eps = common.norm_eps;
  spec.tied_head = common.tied_head;
  finish_heads(spec, file.describe());
  return spec;
}

}  // namespace

Family gpt2_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "transformer.wte", "token_embd"},
      {Slot::position_embedding, "transformer.wpe", "position_embd"},
      {Slot::attention_norm, "transformer.h.{}.ln_1", "blk.{}.attn_norm"},
      {Slot::query_key_value, "transformer.h.{}.attn.c_attn", "blk.{}.attn_qkv",
       Layout::transposed},
      {Slot::attention_output, "transformer.h.{}.attn.c_proj", "blk.{}.attn_output",
       Layout::transposed},
      {Slot::mlp_norm, "transformer.h.{}.ln_2", "blk.{}.ffn_norm"},
      {Slot::up, "transformer.h.{}.mlp.c_fc", "blk.{}.ffn_up", Layout::transposed},
      {Slot::down, "transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down", Layout::transposed},
      {Slot::final_norm, "transformer.ln_f", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
  return {"gpt2", {"GPT2LMHeadModel"}, {"gpt2"}, {"gpt2"}, weights, from_config, from_gguf};
}

}  // namespace sumi::models

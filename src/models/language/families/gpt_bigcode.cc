// GPTBigCode (arXiv:2301.03988, 2305.06161): SantaCoder, StarCoder, StarCoderBase, tiny_starcoder.
// GPT-2 with plain [out, in] weights and, nearly always, one key/value head. SantaCoder's first files are a GPT-2 whose
// configuration says so, with [in, out] weights and the query apart (BigCode's fork of transformers, MULTI_QUERY_2).
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

void use_bigcode_layers(DecoderSpec& spec) {
  use_layer_norms(spec);
  spec.positions = Positions::learned;
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = true;
}

// attention_softmax_in_fp32 and its relatives choose a precision; ours is always f32.
DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = gpt_spec(config);
  use_bigcode_layers(spec);
  if (config.get_bool("multi_query", true)) spec.num_kv_heads = 1;
  if (!config.get_bool("scale_attn_weights", true)) spec.attention_scale = 1;
  if (config.get_bool("add_cross_attention", false))
    fail("{}: add_cross_attention is not known", config.file());
  spec.activation =
      ops::activation_from_name(config.get_string("activation_function", "gelu_pytorch_tanh"));
  spec.tied_head = config.get_bool("tie_word_embeddings", true);
  return spec;
}

bool is_santacoder(const Config& config) {
  for (const std::string& name : config.get_strings("architectures"))
    if (name == "GPT2LMHeadCustomModel") return true;
  return config.get_string("attention_head_type", "multihead") == "multiquery";
}

DecoderSpec santacoder_from_config(const Config& config) {
  const std::string heads = config.get_string("attention_head_type", "multihead");
  if (heads != "multiquery")
    fail("{}: attention_head_type is \"{}\", expected \"multiquery\"", config.file(), heads);
  DecoderSpec spec = from_config(config);
  spec.num_kv_heads = 1;
  spec.activation = ops::activation_from_name(config.get_string("activation_function", "gelu_new"));
  spec.attention_scale_by_layer = config.get_bool("scale_attn_by_inverse_layer_idx", false);
  return spec;
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  use_bigcode_layers(spec);
  spec.activation = ops::Activation::gelu_tanh;
  return spec;
}

}  // namespace

Family gpt_bigcode_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "transformer.wte", "token_embd"},
      {Slot::position_embedding, "transformer.wpe", "position_embd"},
      {Slot::attention_norm, "transformer.h.{}.ln_1", "blk.{}.attn_norm"},
      // With one key/value head that is query over key over value; else each head has its three.
      {Slot::query_key_value, "transformer.h.{}.attn.c_attn", "blk.{}.attn_qkv",
       Layout::heads_interleaved},
      {Slot::attention_output, "transformer.h.{}.attn.c_proj", "blk.{}.attn_output"},
      {Slot::mlp_norm, "transformer.h.{}.ln_2", "blk.{}.ffn_norm"},
      {Slot::up, "transformer.h.{}.mlp.c_fc", "blk.{}.ffn_up"},
      {Slot::down, "transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down"},
      {Slot::final_norm, "transformer.ln_f", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
  return {
      "starcoder", {"GPTBigCodeForCausalLM"}, {"gpt_bigcode"}, {"starcoder"}, weights, from_config,
      from_gguf};
}

Family santacoder_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "transformer.wte", "token_embd"},
      {Slot::position_embedding, "transformer.wpe", "position_embd"},
      {Slot::attention_norm, "transformer.h.{}.ln_1", "blk.{}.attn_norm"},
      {Slot::query, "transformer.h.{}.attn.q_attn", nullptr, Layout::transposed},
      {Slot::key_value, "transformer.h.{}.attn.kv_attn", nullptr, Layout::transposed},
      {Slot::query_key_value, nullptr, "blk.{}.attn_qkv"},
      {Slot::attention_output, "transformer.h.{}.attn.c_proj", "blk.{}.attn_output",
       Layout::transposed},
      {Slot::mlp_norm, "transformer.h.{}.ln_2", "blk.{}.ffn_norm"},
      {Slot::up, "transformer.h.{}.mlp.c_fc", "blk.{}.ffn_up", Layout::transposed},
      {Slot::down, "transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down", Layout::transposed},
      {Slot::final_norm, "transformer.ln_f", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
  return {"santacoder", {"GPT2LMHeadCustomModel"}, {"gpt2"}, {}, weights, santacoder_from_config,
          from_gguf, is_santacoder, "starcoder"};
}

}  // namespace sumi::models

// GPTBigCode (arXiv:2301.03988, 2305.06161): SantaCoder, StarCoder, StarCoderBase, tiny_starcoder.
// GPT-2 with plain [out, in] weights and, nearly always, one key/value head. SantaCoder's first files are a GPT-2 whose
// configuration says so, with [in, out] weights and the query apart (BigCode's fork of transformers, MULTI_QUERY_2).
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

// attention_softmax_in_fp32 and its relatives choose a precision; ours is always f32.
DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = gpt2_spec(config);
  if (config.get_bool("multi_query", true)) spec.num_kv_heads = 1;
  if (config.get_bool("add_cross_attention", false))
    fail("{}: add_cross_attention is not known", config.file());
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
  spec.attention_scale_by_layer = config.get_bool("scale_attn_by_inverse_layer_idx", false);
  return spec;
}

}  // namespace

Family gpt_bigcode_family() {
  // With one key/value head that is query over key over value; else each head has its three.
  const WeightEntry fused = {Slot::query_key_value, "transformer.h.{}.attn.c_attn",
                             "blk.{}.attn_qkv", Layout::heads_interleaved};
  return {"starcoder", {"GPTBigCodeForCausalLM"}, {"gpt_bigcode"},
          {"starcoder"}, with_entry(gpt2_weights(Layout::plain), fused), from_config, gpt2_spec};
}

Family santacoder_family() {
  WeightTable weights = with_entry(gpt2_weights(Layout::transposed),
                                   {Slot::query_key_value, nullptr, "blk.{}.attn_qkv"});
  weights.push_back({Slot::query, "transformer.h.{}.attn.q_attn", nullptr, Layout::transposed});
  weights.push_back({Slot::key_value, "transformer.h.{}.attn.kv_attn", nullptr, Layout::transposed});
  return {"santacoder", {"GPT2LMHeadCustomModel"}, {"gpt2"},      {},         weights,
          santacoder_from_config, gpt2_spec,       is_santacoder, "starcoder"};
}

}  // namespace sumi::models

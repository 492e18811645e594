// Phi-3, 3.5 and 4 (arXiv:2404.14219): LLaMA with query, key and value, and gate and up, in one
// weight each; LongRoPE in those with a long context.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  if (config.has("sliding_window"))
    spec.windows.assign(static_cast<size_t>(spec.num_layers), config.get_int("sliding_window"));
  return spec;
}

std::vector<float> factors(const formats::GgufFile& file, const char* name) {
  const Tensor tensor = file.get(name);
  if (tensor.dim() != 1 || tensor.dtype() != DType::f32)
    fail("{}: tensor {}: expected one axis of f32, found {} of shape {}", file.describe(), name,
         dtype_name(tensor.dtype()), tensor::shape_string(tensor.shape()));
  return {tensor.f32(), tensor.f32() + tensor.numel()};
}

DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  const int64_t window = file.get_int(gguf_key(file, "attention.sliding_window"), 0);
  if (window > 0) spec.windows.assign(static_cast<size_t>(spec.num_layers), window);
  if (file.has("rope_factors_long.weight")) {
    spec.rope.scaling = ops::RopeScaling::longrope;
    spec.rope.short_factors = factors(file, "rope_factors_short.weight");
    spec.rope.long_factors = factors(file, "rope_factors_long.weight");
    spec.rope.original_max_positions =
        file.get_int(gguf_key(file, "rope.scaling.original_context_length"), spec.max_positions);
    spec.rope.attention_factor = file.get_float(gguf_key(file, "rope.scaling.attn_factor"), 1);
  }
  return spec;
}

}  // namespace

Family phi3_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "model.embed_tokens", "token_embd"},
      {Slot::attention_norm, "model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
      {Slot::query_key_value, "model.layers.{}.self_attn.qkv_proj", "blk.{}.attn_qkv"},
      {Slot::attention_output, "model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"},
      {Slot::mlp_norm, "model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
      {Slot::gate_up, "model.layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up"},
      {Slot::down, "model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"},
      {Slot::final_norm, "model.norm", "output_norm"},
      {Slot::head, "lm_head", "output"},
  };
  return {"phi3", {"Phi3ForCausalLM"}, {"phi3"}, {"phi3"}, weights, from_config, from_gguf};
}

}  // namespace sumi::models

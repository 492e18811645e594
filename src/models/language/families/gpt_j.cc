// GPT-J (Wang and Komatsuzaki 2021) and CodeGen (arXiv:2203.13474): attention and MLP side by side
// after one norm, neighbouring elements of each head's beginning rotate, no biases in the
// attention.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = gpt_spec(config);
  spec.max_positions = config.get_int("n_positions", 2048);
  spec.parallel_residual = spec.one_norm = true;
  spec.mlp_bias = spec.head_bias = true;
  spec.rope.pairs = ops::RopePairs::neighbours;
  spec.rope.rotary_dim =
      config.is_null("rotary_dim") ? spec.head_dim : config.get_int("rotary_dim", 64);
  spec.tied_head = config.get_bool("tie_word_embeddings", false);
  return spec;
}

DecoderSpec codegen_from_config(const Config& config) {
  DecoderSpec spec = from_config(config);
  if (spec.num_heads % 4 != 0)
    fail("{}: n_head: expected a multiple of 4, the blocks of CodeGen's fused weights, found {}",
         config.file(), spec.num_heads);
  return spec;
}

WeightTable weights(bool fused) {
  WeightTable table = {
      {Slot::token_embedding, "transformer.wte", nullptr},
      {Slot::attention_norm, "transformer.h.{}.ln_1", nullptr},
      {Slot::attention_output, "transformer.h.{}.attn.out_proj", nullptr},
      {Slot::up, "transformer.h.{}.mlp.fc_in", nullptr},
      {Slot::down, "transformer.h.{}.mlp.fc_out", nullptr},
      {Slot::final_norm, "transformer.ln_f", nullptr},
      {Slot::head, "lm_head", nullptr},
  };
  if (fused) {
    table.push_back(
        {Slot::query_key_value, "transformer.h.{}.attn.qkv_proj", nullptr, Layout::codegen_blocks});
  } else {
    table.push_back({Slot::query, "transformer.h.{}.attn.q_proj", nullptr});
    table.push_back({Slot::key, "transformer.h.{}.attn.k_proj", nullptr});
    table.push_back({Slot::value, "transformer.h.{}.attn.v_proj", nullptr});
  }
  return table;
}

}  // namespace

Family gpt_j_family() {
  return {"gptj", {"GPTJForCausalLM"}, {"gptj"}, {}, weights(false), from_config, nullptr};
}

Family codegen_family() {
  return {"codegen",     {"CodeGenForCausalLM"}, {"codegen"}, {},
          weights(true), codegen_from_config,    nullptr};
}

}  // namespace sumi::models

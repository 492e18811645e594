// Baichuan and Baichuan 2 (arXiv:2309.10305): LLaMA with query, key and value in one weight. The
// 13B has ALiBi instead of RoPE; Baichuan 2's head has rows of length 1.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

constexpr int64_t kSecondVocabSize = 125696;  // of Baichuan 2: no key tells it from the first
constexpr int64_t kLayersOf13B = 40;          // GGUF has no key for its ALiBi

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  if (!config.has("max_position_embeddings")) {  // the 13B has no such key
    spec.positions = Positions::alibi;
    spec.max_positions = config.get_int("model_max_length", 4096);
  }
  spec.unit_head_rows = spec.vocab_size == kSecondVocabSize;
  return spec;
}

// The head's rows are as the file has them: llama.cpp divides none, so its files of Baichuan 2 were
// made with length 1.
DecoderSpec from_gguf(const formats::GgufFile& file) {
  DecoderSpec spec = common_spec(file);
  if (spec.num_layers == kLayersOf13B) spec.positions = Positions::alibi;
  return spec;
}

}  // namespace

Family baichuan_family() {
  WeightTable weights = llama_weights(Layout::rotary_neighbours);
  for (const Slot slot : {Slot::query, Slot::key, Slot::value})
    for (WeightEntry& entry : weights)
      if (entry.slot == slot) entry.hugging_face = nullptr;
  weights.push_back({Slot::query_key_value, "model.layers.{}.self_attn.W_pack", nullptr});
  return {"baichuan",   {"BaichuanForCausalLM", "BaiChuanForCausalLM"},
          {"baichuan"}, {"baichuan"},
          weights,      from_config,
          from_gguf};
}

}  // namespace sumi::models

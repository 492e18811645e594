// One function per family file; families.cc lists them.
#pragma once

#include "models/language/family.h"

namespace sumi::models {

Family llama_family();
Family mistral_family();
Family qwen2_family();
Family qwen3_family();
Family smollm3_family();
Family gemma_family();
Family gemma2_family();
Family gemma3_family();
Family phi_family();
Family phi3_family();
Family gpt2_family();
Family gpt_bigcode_family();
Family santacoder_family();
Family starcoder2_family();
Family opt_family();
Family chatglm_family();
Family chatglm2_family();
Family glm_family();
Family glm4_family();
Family baichuan_family();
Family internlm_family();
Family internlm2_family();
Family qwen_family();
Family olmo_family();
Family olmo2_family();
Family yi_family();
Family gpt_neox_family();
Family gpt_j_family();
Family codegen_family();
Family falcon_family();
Family mpt_family();
Family bloom_family();
Family bert_family();
Family roberta_family();

// Models around a text model of ours (text_part.h): their names in config.json, as Family has them.
struct TextWrappers {
  std::vector<const char*> architectures, model_types;
  // By the text model's model_type: what transformers' configuration class has by itself, as far as the family does
  // not. transformers leaves it out where it writes a configuration as part of another.
  nlohmann::json defaults;
};
const TextWrappers& text_wrappers();

// What all versions of Gemma share.
DecoderSpec gemma_spec(const Config& config);
DecoderSpec gemma_spec(const formats::GgufFile& file);

// What GPT-2 shares with GPTBigCode; `layout` is that of its matrices in Hugging Face files.
DecoderSpec gpt2_spec(const Config& config);
DecoderSpec gpt2_spec(const formats::GgufFile& file);
WeightTable gpt2_weights(Layout layout);

// The names that LLaMA's Hugging Face files made common. LLaMA's own GGUF files keep query and key
// in RoPE's neighbouring pairs; its relatives' do not.
WeightTable llama_weights(Layout gguf_query_key_layout);

}  // namespace sumi::models

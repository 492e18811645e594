// One function per family file; families.cc lists them.
#pragma once

#include "models/language/family.h"

namespace sumi::models {

Family llama_family();
Family mistral_family();
Family qwen2_family();
Family gpt2_family();

// The names that LLaMA's Hugging Face files made common. LLaMA's own GGUF files keep query and key
// in RoPE's neighbouring pairs; its relatives' do not.
WeightTable llama_weights(Layout gguf_query_key_layout);

}  // namespace sumi::models

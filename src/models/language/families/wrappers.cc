// Models with pictures whose text model reads and writes text as it does alone. Others may not be listed: PaliGemma's
// prompts see themselves in both directions, Llama 3.2's text model has layers for pictures.
#include "models/language/families/families.h"

namespace sumi::models {

const TextWrappers& text_wrappers() {
  static const TextWrappers all = {
      {"Gemma3ForConditionalGeneration", "Mistral3ForConditionalGeneration", "LlavaForConditionalGeneration"},
      {"gemma3", "mistral3", "llava"},
      {{"llama",
        {{"vocab_size", 32000}, {"hidden_size", 4096}, {"intermediate_size", 11008}, {"num_hidden_layers", 32},
         {"num_attention_heads", 32}}},
       {"mistral",
        {{"vocab_size", 32000}, {"hidden_size", 4096}, {"intermediate_size", 14336}, {"num_hidden_layers", 32},
         {"num_attention_heads", 32}, {"num_key_value_heads", 8}, {"max_position_embeddings", 131072}}},
       {"qwen2",
        {{"vocab_size", 151936}, {"hidden_size", 4096}, {"intermediate_size", 22016}, {"num_hidden_layers", 32},
         {"num_attention_heads", 32}, {"num_key_value_heads", 32}, {"max_position_embeddings", 32768}}},
       {"gemma3_text",
        {{"vocab_size", 262208}, {"hidden_size", 2304}, {"intermediate_size", 9216}, {"num_hidden_layers", 26},
         {"num_attention_heads", 8}, {"num_key_value_heads", 4}, {"head_dim", 256},
         {"max_position_embeddings", 131072}}}}};
  return all;
}

}  // namespace sumi::models

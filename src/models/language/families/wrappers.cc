// Models with pictures whose text model reads and writes text as it does alone. Others may not be listed: PaliGemma's
// prompts see themselves in both directions, Llama 3.2's text model has layers for pictures.
#include "models/language/families/families.h"

namespace sumi::models {

const TextWrappers& text_wrappers() {
  static const TextWrappers all = {
      {"Gemma3ForConditionalGeneration", "Mistral3ForConditionalGeneration", "LlavaForConditionalGeneration"},
      {"gemma3", "mistral3", "llava"}};
  return all;
}

}  // namespace sumi::models

#include "models/language/language_model.h"

#include "base/error.h"

namespace sumi::models {

std::unique_ptr<DecodeState> LanguageModel::encode(std::span<const int32_t>) const {
  fail("this model has no encoder");
}

Tensor LanguageModel::hidden_states(const Tensor&) const {
  fail("this model shows no hidden states");
}

PromptState read_prompt(const LanguageModel& model, std::span<const int32_t> prompt_ids) {
  if (model.has_encoder()) return {model.encode(prompt_ids), model.decoder_start()};
  return {model.new_state(), {prompt_ids.begin(), prompt_ids.end()}};
}

}  // namespace sumi::models

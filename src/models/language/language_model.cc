#include "models/language/language_model.h"

#include "base/error.h"
#include "ops/loss.h"

namespace sumi::models {

std::unique_ptr<DecodeState> LanguageModel::encode(std::span<const int32_t>) const {
  fail("this model has no encoder");
}

Tensor LanguageModel::hidden_states(const Tensor&) const {
  fail("this model shows no hidden states");
}

namespace {

[[noreturn]] void cannot_keep_state() {
  fail("the state of this model cannot be saved; that of a recurrent model (RWKV) can");
}

}  // namespace

std::vector<std::pair<std::string, Tensor>> LanguageModel::state_tensors(const DecodeState&) const {
  cannot_keep_state();
}

std::unique_ptr<DecodeState> LanguageModel::state_from(const formats::TensorSource&,
                                                       int64_t) const {
  cannot_keep_state();
}

std::string LanguageModel::model_identity() const { cannot_keep_state(); }

Tensor LanguageModel::loss(const TextBatch& batch, bool checkpoint_blocks) const {
  if (batch.positions.defined() || batch.first_keys.defined())
    fail("this architecture cannot be trained on several texts in a row");
  if (checkpoint_blocks) fail("this architecture cannot be trained with gradient checkpointing");
  return ops::cross_entropy(forward(batch.ids), batch.targets);
}

PromptState read_prompt(const LanguageModel& model, std::span<const int32_t> prompt_ids) {
  if (model.has_encoder()) return {model.encode(prompt_ids), model.decoder_start()};
  return {model.new_state(), {prompt_ids.begin(), prompt_ids.end()}};
}

}  // namespace sumi::models

// Learning to continue texts: the task of `sumi train text`.
#pragma once

#include <memory>
#include <vector>

#include "models/language/language_model.h"
#include "nn/lora.h"
#include "train/task.h"
#include "train/text_tokens.h"

namespace sumi::train {

class TextTask : public Task {
 public:
  // An example is a group of texts (pack()), or one text where `groups` is empty. The model must
  // outlive the task. Examples of a batch go through it together while they have up to
  // `tokens_at_once` tokens; for a longer one alone, what is inside the blocks is computed twice, as
  // `checkpoint_blocks` has it for all. `clock` is set for each loss, if there is one.
  TextTask(const models::LanguageModel& model, std::vector<TrainingText> texts,
           std::vector<std::vector<int64_t>> groups, int64_t tokens_at_once, bool checkpoint_blocks,
           std::shared_ptr<nn::DropoutClock> clock);

  int64_t size() const override { return static_cast<int64_t>(groups_.size()); }
  double weight(std::span<const int64_t> examples) const override;  // tokens to predict
  int64_t units(std::span<const int64_t> examples) const override;  // tokens
  std::vector<std::vector<int64_t>> pieces(std::span<const int64_t> batch) const override;
  Tensor loss(std::span<const int64_t> examples, uint64_t key) override;

 private:
  std::vector<const TrainingText*> texts_of(std::span<const int64_t> examples) const;

  const models::LanguageModel& model_;
  std::vector<TrainingText> texts_;
  std::vector<std::vector<int64_t>> groups_;
  int64_t tokens_at_once_;
  bool checkpoint_blocks_;
  std::shared_ptr<nn::DropoutClock> clock_;
};

}  // namespace sumi::train

#include "train/text_task.h"

#include "base/error.h"
#include "tensor/autograd.h"

namespace sumi::train {

TextTask::TextTask(const models::LanguageModel& model, std::vector<TrainingText> texts,
                   std::vector<std::vector<int64_t>> groups, bool checkpoint_blocks,
                   std::shared_ptr<nn::DropoutClock> clock)
    : model_(model),
      texts_(std::move(texts)),
      groups_(std::move(groups)),
      checkpoint_blocks_(checkpoint_blocks),
      clock_(std::move(clock)) {
  if (groups_.empty())
    for (size_t i = 0; i < texts_.size(); ++i) groups_.push_back({static_cast<int64_t>(i)});
}

std::vector<const TrainingText*> TextTask::texts_of(std::span<const int64_t> examples) const {
  std::vector<const TrainingText*> texts;
  for (const int64_t example : examples)
    for (const int64_t text : groups_[static_cast<size_t>(example)])
      texts.push_back(&texts_[static_cast<size_t>(text)]);
  return texts;
}

double TextTask::weight(std::span<const int64_t> examples) const {
  int64_t total = 0;
  for (const TrainingText* text : texts_of(examples)) total += text->targets();
  return static_cast<double>(total);
}

int64_t TextTask::units(std::span<const int64_t> examples) const {
  int64_t total = 0;
  for (const TrainingText* text : texts_of(examples))
    total += static_cast<int64_t>(text->ids.size());
  return total;
}

Tensor TextTask::loss(std::span<const int64_t> examples, uint64_t key) {
  if (clock_) {
    clock_->step = key;
    clock_->on = tensor::grad_enabled();
  }
  const Tensor loss = model_.loss(join(texts_of(examples)), checkpoint_blocks_);
  return loss;
}

}  // namespace sumi::train

#include "train/text_task.h"

#include "base/error.h"
#include "tensor/autograd.h"

namespace sumi::train {

TextTask::TextTask(const models::LanguageModel& model, std::vector<TrainingText> texts,
                   std::vector<std::vector<int64_t>> groups, int64_t tokens_at_once,
                   bool checkpoint_blocks, std::shared_ptr<nn::DropoutClock> clock)
    : model_(model),
      texts_(std::move(texts)),
      groups_(std::move(groups)),
      tokens_at_once_(tokens_at_once),
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

std::vector<std::vector<int64_t>> TextTask::pieces(std::span<const int64_t> batch) const {
  std::vector<std::vector<int64_t>> pieces;
  int64_t tokens = 0;
  for (const int64_t example : batch) {
    const int64_t more = units({&example, 1});
    if (pieces.empty() || tokens + more > tokens_at_once_) {
      pieces.emplace_back();
      tokens = 0;
    }
    pieces.back().push_back(example);
    tokens += more;
  }
  return pieces;
}

Tensor TextTask::loss(std::span<const int64_t> examples, uint64_t key) {
  if (clock_) {
    clock_->step = key;
    clock_->on = tensor::grad_enabled();
  }
  const bool checkpoint = checkpoint_blocks_ || units(examples) > tokens_at_once_;
  return model_.loss(join(texts_of(examples)), checkpoint);
}

}  // namespace sumi::train

// The training step, the same for every task: which examples, gradients, clipping, the optimiser,
// the schedule, the moving average; and its exact state.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tensor/block_cache.h"
#include "train/ema.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/task.h"

namespace sumi::train {

struct TrainerOptions {
  int64_t batch_size = 1;     // examples that go through the model together
  int64_t accumulation = 1;   // batches whose gradients make one step
  double max_grad_norm = 1;   // longer gradients are shortened to this; 0: not
  double ema_decay = 0;       // 0: no moving average
  bool narrow_gradients = false;  // those of steps of one batch wait for the optimiser in bf16
  uint64_t seed = 42;         // of the order of examples and of what is random in the task
  OptimizerOptions optimizer;
  ScheduleOptions schedule;   // with the number of steps
};

// Throws Error naming the option.
void check_trainer_options(const TrainerOptions& options);

// The options that a run that goes on must share with the one that began.
nlohmann::json trainer_identity(const TrainerOptions& options);

// Steps that go through `examples` this many times (a part of an epoch counts as its share).
int64_t steps_for_epochs(double epochs, int64_t examples, const TrainerOptions& options);

// The example at place `place` of an endless sequence: epoch after epoch, each in an order of its
// own that depends on seed and epoch alone.
class ExampleOrder {
 public:
  ExampleOrder(int64_t size, uint64_t seed) : size_(size), seed_(seed) {}
  int64_t at(int64_t place);

 private:
  int64_t size_;
  uint64_t seed_;
  int64_t epoch_ = -1;
  std::vector<int64_t> order_;
};

struct StepReport {
  int64_t step = 0;  // done so far, this one included
  double loss = 0;   // mean over the step's batches, by weight
  double learning_rate = 0, gradient_norm = 0;
  int64_t units = 0;
};

class Trainer {
 public:
  // The task must outlive the trainer. Throws Error on options out of range, no examples or no
  // parameters.
  Trainer(Task& task, std::vector<Parameter> parameters, const TrainerOptions& options);

  int64_t step() const { return step_; }
  bool done() const { return step_ >= options_.schedule.total_steps; }
  double epoch() const;  // how often the examples were seen
  // Throws Error if the loss or a gradient is not finite; nothing is changed then.
  StepReport run_step();

  const std::vector<Parameter>& parameters() const { return parameters_; }
  Ema* ema() { return ema_.get(); }
  size_t optimizer_bytes() const { return optimizer_.state_bytes(); }

  // Everything that a run goes on from, in `folder` (which exists): weights, optimiser, average,
  // and the step, which alone says the place in the data, in the schedule and in what is random.
  // `identity` is kept beside them: what a later run must have in common with this one.
  void save(const std::string& folder, const nlohmann::json& identity) const;
  size_t saved_bytes() const;  // about
  // Throws Error naming the entry of `identity` that differs, or the file at fault.
  void load(const std::string& folder, const nlohmann::json& identity);

 private:
  std::vector<std::pair<std::string, Tensor>> weights() const;

  Task& task_;
  std::vector<Parameter> parameters_;
  TrainerOptions options_;
  Optimizer optimizer_;
  std::unique_ptr<Ema> ema_;
  ExampleOrder order_;
  int64_t step_ = 0;
  tensor::KeepBlocks memory_of_steps_;
};

}  // namespace sumi::train

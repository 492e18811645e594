// A whole run: steps, log, held-out loss, samples and checkpoints, until it is done or stopped.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "train/trainer.h"

namespace sumi::train {

struct RunOptions {
  std::string folder;
  int64_t log_every = 10, save_every = 500;  // steps
  int64_t evaluate_every = 0, sample_every = 0;  // 0: only at the end
  int64_t keep = 3;                          // checkpoints
  bool resume = false;                       // from the last checkpoint in the folder
};

// Throws Error naming what is out of range. steps 0: from epochs, when the data are known.
void check_run(const RunOptions& run, const TrainerOptions& trainer, int64_t steps, double epochs);

// What a run is going to do and to need, known before its first step.
struct RunSizes {
  int64_t steps = 0, trained_weights = 0;
  size_t model_bytes = 0, gradient_bytes = 0, optimizer_bytes = 0;
};

struct RunProgress {
  StepReport report;  // loss: mean since the last progress
  int64_t total_steps = 0;
  double epoch = 0, units_per_second = 0, seconds_left = 0;
  size_t memory_bytes = 0;  // the largest so far
};

struct RunHooks {
  std::function<void(const RunProgress&)> progress;
  std::function<double()> evaluate;             // held-out loss; may be empty
  bool is_likelihood = true;                    // the loss is of a kind that has a perplexity
  std::function<void(int64_t step, double loss)> evaluated;
  std::function<void(int64_t step)> sample;     // may be empty
  std::function<void(int64_t step, const std::string& path)> saved;
};

// True when all steps are done; false when `cancel` became true: a checkpoint was then saved. A new
// run refuses a folder that has checkpoints, unless it resumes.
bool run(Trainer& trainer, const RunOptions& options, const nlohmann::json& identity,
         const RunHooks& hooks, const std::atomic<bool>& cancel);

// Mean loss of all examples of a task by weight, nothing recorded.
double mean_loss(Task& task, int64_t batch_size, const std::atomic<bool>& cancel);

}  // namespace sumi::train

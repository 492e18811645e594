// What the verbs of sumi train share, and their declarations.
#pragma once

#include <atomic>

#include "cli/common.h"
#include "cli/verbs.h"
#include "train/run.h"

namespace sumi::cli {

void add_train_text(CLI::App& train, Run& run);
void add_train_image(CLI::App& train, Run& run);
void add_train_controlnet(CLI::App& train, Run& run);
void add_train_image_lora(CLI::App& train, Run& run);
void add_train_dreambooth(CLI::App& train, Run& run);

// Batches, steps, learning rate, optimiser, log, checkpoints. `defaults` are shown in the help.
void add_trainer_flags(CLI::App& verb, train::TrainerOptions& trainer, train::RunOptions& run);

// Throws CLI::ValidationError on options of optimisers that the chosen one has not.
void check_optimizer_flags(const train::OptimizerOptions& options);
// Throws CLI::ValidationError if one of these options was given: "<option>: <why>".
void refuse_given(const std::vector<const CLI::Option*>& options, const char* why);
// "f32", "f16" or "bf16".
DType save_dtype(const std::string& name);

// Ctrl-C and SIGTERM ask the run to save and stop, from now on; a second Ctrl-C ends it at once.
const std::atomic<bool>& stop_on_signals();

// A line about each logged step, on stderr.
void print_progress(const train::RunProgress& progress, const char* unit);
void note(const std::string& text);  // a line on stderr

// Makes some steps and prints memory and the time of a step. Returns the exit code.
int dry_run(train::Trainer& trainer, const train::RunSizes& sizes, const char* unit);

}  // namespace sumi::cli

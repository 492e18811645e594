// What the verbs of sumi train share, and their declarations.
#pragma once

#include <atomic>

#include "cli/common.h"
#include "cli/verbs.h"
#include "train/run.h"

namespace sumi::cli {

void add_train_text(CLI::App& train, Run& run);

// Batches, steps, learning rate, optimiser, log, checkpoints. `defaults` are shown in the help.
void add_trainer_flags(CLI::App& verb, train::TrainerOptions& trainer, train::RunOptions& run);

// Ctrl-C and SIGTERM ask the run to save and stop, from now on; a second Ctrl-C ends it at once.
const std::atomic<bool>& stop_on_signals();

// A line about each logged step, on stderr.
void print_progress(const train::RunProgress& progress, const char* unit);

}  // namespace sumi::cli

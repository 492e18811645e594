// Flags, signals and progress of all kinds of training.

#include <chrono>
#include <csignal>
#include <cstdio>

#include "base/memory.h"
#include "cli/train.h"

namespace sumi::cli {

namespace {

std::atomic<bool> stop_flag{false};

void on_stop(int signal) {
  if (stop_flag.exchange(true) && signal == SIGINT) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
}

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

double megabytes(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

void note(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

void check_optimizer_flags(const train::OptimizerOptions& options) {
  if (options.name != "sgd" && options.momentum != 0)
    throw CLI::ValidationError("--momentum", "is for --optimizer sgd");
  if (options.name == "adafactor" && options.beta1 != 0.9)
    throw CLI::ValidationError("--beta1", "adafactor has none");
}

void refuse_given(const std::vector<const CLI::Option*>& options, const char* why) {
  for (const CLI::Option* option : options)
    if (option->count() > 0) throw CLI::ValidationError(option->get_name(), why);
}

DType save_dtype(const std::string& name) {
  return name == "f32" ? DType::f32 : name == "f16" ? DType::f16 : DType::bf16;
}

// The first step, which also pays for what is set up once, is not timed.
int dry_run(train::Trainer& trainer, const train::RunSizes& sizes, const char* unit) {
  trainer.run_step();
  if (stop_flag) return 130;
  const auto start = std::chrono::steady_clock::now();
  int64_t units = 0;
  double done = 0;
  do {
    units += trainer.run_step().units;
    ++done;
  } while (ms_since(start) < 5000 && done < 20 && !stop_flag);
  if (stop_flag) return 130;
  const double seconds = ms_since(start) / 1000 / done;
  write_out(fmt::format(
      "model      {:8.1f} MB\ngradients  {:8.1f} MB\noptimiser  {:8.1f} MB\n"
      "largest    {:8.1f} MB so far, everything included\n"
      "step       {:8.2f} s ({:.4g} {}/s); {} steps: {:.0f} s\n",
      megabytes(sizes.model_bytes), megabytes(sizes.gradient_bytes),
      megabytes(sizes.optimizer_bytes), megabytes(base::peak_memory_bytes()), seconds,
      static_cast<double>(units) / seconds / done, unit, sizes.steps,
      seconds * static_cast<double>(sizes.steps)));
  return 0;
}

const std::atomic<bool>& stop_on_signals() {
  std::signal(SIGINT, on_stop);
  std::signal(SIGTERM, on_stop);
  return stop_flag;
}

void print_progress(const train::RunProgress& p, const char* unit) {
  note(fmt::format("step {}/{}  epoch {:.2f}  loss {:.4f}  lr {:.3g}  {:.4g} {}/s  {} left  {} MB",
                   p.report.step, p.total_steps, p.epoch, p.report.loss, p.report.learning_rate,
                   p.units_per_second, unit, duration(p.seconds_left), p.memory_bytes >> 20));
}

void add_trainer_flags(CLI::App& verb, train::TrainerOptions& t, train::RunOptions& r) {
  const char* steps = "Steps";
  verb.add_option("--batch-size", t.batch_size, "Examples that go through the model together")
      ->check(at_least<int64_t>(1))
      ->capture_default_str()
      ->type_name("N")
      ->group(steps);
  verb.add_option("--accumulation", t.accumulation, "Batches that make one step")
      ->check(at_least<int64_t>(1))
      ->capture_default_str()
      ->type_name("N")
      ->group(steps);
  verb.add_option("--max-grad-norm", t.max_grad_norm, "Longer gradients are shortened to this (0: not)")
      ->check(at_least(0.0))
      ->capture_default_str()
      ->type_name("X")
      ->group(steps);
  verb.add_option("--ema", t.ema_decay,
                  "Keep a moving average of the weights with this decay; it is what is saved")
      ->check(in_range(0.0, 1.0))
      ->type_name("D")
      ->group(steps);
  verb.add_option("--seed", t.seed, "The same seed gives the same run")
      ->capture_default_str()
      ->type_name("S")
      ->group(steps);
  const char* optimizer = "Optimiser";
  verb.add_option("--optimizer", t.optimizer.name,
                  "adamw, adamw_8bit (states in 8 bits), adafactor, lion, sgd")
      ->check(CLI::IsMember({"adamw", "adamw_8bit", "adafactor", "lion", "sgd"}))
      ->capture_default_str()
      ->type_name("NAME")
      ->group(optimizer);
  verb.add_option("--beta1", t.optimizer.beta1, "AdamW, Lion")
      ->check(in_range(0.0, 0.999999))
      ->capture_default_str()
      ->type_name("X")
      ->group(optimizer);
  verb.add_option("--beta2", t.optimizer.beta2, "AdamW, Lion")
      ->check(in_range(0.0, 0.999999))
      ->capture_default_str()
      ->type_name("X")
      ->group(optimizer);
  verb.add_option("--weight-decay", t.optimizer.weight_decay, "Weights shrink by this times the rate")
      ->check(in_range(0.0, 1.0))
      ->capture_default_str()
      ->type_name("X")
      ->group(optimizer);
  verb.add_option("--momentum", t.optimizer.momentum, "SGD")
      ->check(in_range(0.0, 0.999999))
      ->capture_default_str()
      ->type_name("X")
      ->group(optimizer);
  verb.add_option("--schedule", t.schedule.name,
                  "constant, constant_with_warmup, linear, cosine, cosine_with_restarts, polynomial")
      ->check(CLI::IsMember({"constant", "constant_with_warmup", "linear", "cosine",
                             "cosine_with_restarts", "polynomial"}))
      ->capture_default_str()
      ->type_name("NAME")
      ->group(optimizer);
  verb.add_option("--warmup-steps", t.schedule.warmup_steps, "The rate rises over these steps")
      ->check(at_least<int64_t>(0))
      ->type_name("N")
      ->group(optimizer);
  verb.add_option("--cycles", t.schedule.cycles, "cosine, cosine_with_restarts: how many")
      ->check(at_least(0.0))
      ->type_name("N")
      ->group(optimizer);
  verb.add_option("--power", t.schedule.power, "polynomial")
      ->check(at_least(0.0))
      ->capture_default_str()
      ->type_name("X")
      ->group(optimizer);
  const char* run = "Run";
  verb.add_option("-o,--output", r.folder, "Folder of the run: log, checkpoints, result")
      ->required()
      ->type_name("DIR")
      ->group(run);
  verb.add_flag("--resume", r.resume, "Go on from the last checkpoint in the folder")->group(run);
  verb.add_option("--log-every", r.log_every, "Steps between lines of the log")
      ->check(at_least<int64_t>(1))
      ->capture_default_str()
      ->type_name("N")
      ->group(run);
  verb.add_option("--save-every", r.save_every, "Steps between checkpoints (0: only when stopped)")
      ->check(at_least<int64_t>(0))
      ->capture_default_str()
      ->type_name("N")
      ->group(run);
  verb.add_option("--keep", r.keep, "Checkpoints that stay")
      ->check(at_least<int64_t>(1))
      ->capture_default_str()
      ->type_name("N")
      ->group(run);
}

}  // namespace sumi::cli

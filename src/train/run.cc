#include "train/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/memory.h"
#include "tensor/autograd.h"
#include "train/checkpoints.h"
#include "train/run_log.h"

namespace sumi::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

}  // namespace

double mean_loss(Task& task, int64_t batch_size, const std::atomic<bool>& cancel) {
  const tensor::NoGrad no_grad;
  double sum = 0, weight = 0;
  for (int64_t begin = 0; begin < task.size() && !cancel; begin += batch_size) {
    std::vector<int64_t> batch;
    for (int64_t i = begin; i < std::min(task.size(), begin + batch_size); ++i) batch.push_back(i);
    for (const std::vector<int64_t>& piece : task.pieces(batch)) {
      const double share = task.weight(piece);
      sum += share * double{task.loss(piece, 0).f32()[0]};
      weight += share;
    }
  }
  return weight > 0 ? sum / weight : std::nan("");
}

void check_run(const RunOptions& run, const TrainerOptions& trainer, int64_t steps, double epochs) {
  if (run.folder.empty()) fail("no output folder is given");
  if (steps < 0) fail("steps: expected 0 or more, found {}", steps);
  if (!(epochs > 0)) fail("epochs: expected more than 0, found {}", epochs);
  TrainerOptions known = trainer;
  known.schedule.total_steps = std::max<int64_t>(1, steps);
  known.schedule.warmup_steps = 0;
  check_trainer_options(known);
}

bool run(Trainer& trainer, const RunOptions& options, const nlohmann::json& identity,
         const RunHooks& hooks, const std::atomic<bool>& cancel) {
  Checkpoints checkpoints(options.folder, options.keep);
  if (const auto latest = checkpoints.latest()) {
    if (!options.resume)
      fail("{}: has a run that reached step {}: go on with --resume, or choose another folder",
           options.folder, *latest);
    trainer.load(checkpoints.path(*latest), identity);
  }
  RunLog log(options.folder, trainer.step());
  const int64_t total = identity.at("steps").get<int64_t>();
  int64_t saved_at = trainer.step();
  const auto save = [&] {
    if (saved_at == trainer.step()) return;
    checkpoints.save(trainer.step(), trainer.saved_bytes(),
                     [&](const std::string& folder) { trainer.save(folder, identity); });
    saved_at = trainer.step();
    if (hooks.saved) hooks.saved(trainer.step(), checkpoints.path(trainer.step()));
  };
  const auto evaluate = [&] {
    if (!hooks.evaluate) return;
    const double loss = [&] {
      const AveragedWeights averaged(trainer.ema());
      return hooks.evaluate();
    }();
    if (cancel) return;
    std::vector<std::pair<std::string, double>> numbers = {{"eval_loss", loss}};
    if (hooks.is_likelihood) numbers.emplace_back("eval_perplexity", std::exp(loss));
    log.write(trainer.step(), numbers);
    if (hooks.evaluated) hooks.evaluated(trainer.step(), loss);
  };

  if (trainer.step() == 0) evaluate();
  const auto start = Clock::now();
  auto last = start;
  double evaluating = 0, loss_sum = 0;  // seconds not spent on steps; losses since the last line
  int64_t done = 0, units = 0, in_line = 0;
  while (!trainer.done() && !cancel) {
    StepReport report = trainer.run_step();
    ++done;
    ++in_line;
    units += report.units;
    loss_sum += report.loss;
    const bool end = trainer.done();
    if (due(report.step, options.log_every) || end || done == 1) {
      report.loss = loss_sum / static_cast<double>(in_line);
      const double since = std::max(1e-9, seconds_since(last));
      RunProgress progress{report, total, trainer.epoch(), static_cast<double>(units) / since,
                           (seconds_since(start) - evaluating) / static_cast<double>(done) *
                               static_cast<double>(total - report.step),
                           base::peak_memory_bytes()};
      log.write(report.step, {{"loss", report.loss},
                              {"learning_rate", report.learning_rate},
                              {"gradient_norm", report.gradient_norm},
                              {"epoch", progress.epoch},
                              {"units_per_second", progress.units_per_second},
                              {"memory_bytes", static_cast<double>(progress.memory_bytes)}});
      if (hooks.progress) hooks.progress(progress);
      units = in_line = 0;
      loss_sum = 0;
      last = Clock::now();
    }
    const auto pause = Clock::now();
    if (due(report.step, options.save_every)) save();
    if ((due(report.step, options.evaluate_every) || end) && !cancel) evaluate();
    if (hooks.sample && (due(report.step, options.sample_every) || end) && !cancel)
      hooks.sample(report.step);
    evaluating += seconds_since(pause);
    last += Clock::now() - pause;
  }
  save();
  return trainer.done();
}

}  // namespace sumi::train

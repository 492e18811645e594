#include "cli/step_progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "cli/common.h"

namespace sumi::cli {

StepProgress::StepProgress(std::string label)
    : label_(std::move(label)),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

StepProgress::~StepProgress() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

void StepProgress::update(size_t done, size_t total) {
  if (!terminal_ || done == 0) return;
  const double step = ms_since(last_) / 1000;
  last_ = std::chrono::steady_clock::now();
  // The first step also loads the network: the time left counts from the mean of all.
  const double mean = ms_since(start_) / 1000 / static_cast<double>(done);
  drawn_ = true;
  std::fprintf(stderr, "\r%s: step %zu of %zu, %.2f s/step, %.0f s left\x1b[K", label_.c_str(), done,
               total, step, mean * static_cast<double>(total - done));
  std::fflush(stderr);
}

}  // namespace sumi::cli

#include "base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace sumi::base {

Progress::Progress(std::string label)
    : label_(std::move(label)),
      terminal_(::isatty(STDERR_FILENO) == 1),
      next_(std::chrono::steady_clock::now() + std::chrono::milliseconds(500)) {}

Progress::~Progress() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

void Progress::update(double fraction) {
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  const int percent = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 100);
  if (now < next_ || percent == percent_) return;
  next_ = now + std::chrono::milliseconds(100);
  percent_ = percent;
  drawn_ = true;
  std::fprintf(stderr, "\r%s %d %%\x1b[K", label_.c_str(), percent);
  std::fflush(stderr);
}

}  // namespace sumi::base

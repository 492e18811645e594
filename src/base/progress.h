// A progress line on stderr, only when that is a terminal.
#pragma once

#include <chrono>
#include <string>

namespace sumi::base {

// Shows "label 42 %" once the work has taken longer than half a second, and wipes the line when it
// ends. When stderr is not a terminal nothing is written.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(double fraction);  // 0 to 1; draws at most ten times a second

 private:
  std::string label_;
  bool terminal_;
  bool drawn_ = false;
  int percent_ = -1;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace sumi::base

// A line on stderr that says how far a picture is: steps, seconds per step, time left.
#pragma once

#include <chrono>
#include <string>

namespace sumi::cli {

// Nothing is written when stderr is not a terminal; the line is wiped at the end.
class StepProgress {
 public:
  explicit StepProgress(std::string label);
  ~StepProgress();
  StepProgress(const StepProgress&) = delete;
  StepProgress& operator=(const StepProgress&) = delete;

  void update(size_t done, size_t total);

 private:
  std::string label_;
  bool terminal_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace sumi::cli

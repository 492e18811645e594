// What a run has to say, step by step: RUN/log.jsonl, and event files for TensorBoard beside it.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "train/tensorboard.h"

namespace sumi::train {

class RunLog {
 public:
  // Goes on with a log that is there after forgetting what it says of steps after `step`. Throws
  // Error if it cannot be read or written.
  RunLog(const std::string& folder, int64_t step);

  // One line {"step": ..., "time": ..., <name>: <number>, ...}.
  void write(int64_t step, const std::vector<std::pair<std::string, double>>& numbers);

 private:
  std::string path_;
  EventFile events_;
};

// The points (step, number) of each name in RUN/log.jsonl. Throws Error naming file and line.
std::map<std::string, std::vector<std::pair<double, double>>> read_run_log(
    const std::string& folder);

}  // namespace sumi::train

// An exponential moving average of weights, as diffusers.training_utils.EMAModel keeps it.
#pragma once

#include <utility>
#include <vector>

#include "train/parameter.h"

namespace sumi::train {

class Ema {
 public:
  // Starts from the parameters' present values. Throws Error unless 0 < decay < 1.
  Ema(std::vector<Parameter> parameters, double decay);

  // average -= (1 - d)(average - parameter), d = min(decay, (1 + s) / (10 + s)) and s the number of
  // updates before this one (0: the average is the parameter).
  void update();

  const std::vector<Tensor>& averages() const { return averages_; }
  // Exchanges parameters and averages; twice is as never. For evaluating and saving the average.
  void swap();

  int64_t updates() const { return updates_; }
  std::vector<std::pair<std::string, Tensor>> state() const;  // "<parameter>.ema"
  void set_updates(int64_t updates) { updates_ = updates; }

 private:
  std::vector<Parameter> parameters_;
  std::vector<Tensor> averages_;
  double decay_;
  int64_t updates_ = 0;
};

// While it lives, the parameters have their averages; nothing happens without an Ema (null).
class AveragedWeights {
 public:
  explicit AveragedWeights(Ema* ema) : ema_(ema) {
    if (ema_) ema_->swap();
  }
  ~AveragedWeights() {
    if (ema_) ema_->swap();
  }
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

 private:
  Ema* ema_;
};

}  // namespace sumi::train

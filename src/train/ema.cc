#include "train/ema.h"

#include <algorithm>

#include "base/error.h"
#include "base/threads.h"

namespace sumi::train {

Ema::Ema(std::vector<Parameter> parameters, double decay)
    : parameters_(std::move(parameters)), decay_(decay) {
  if (!(decay > 0 && decay < 1)) fail("EMA decay: expected between 0 and 1, found {}", decay);
  for (const Parameter& parameter : parameters_) averages_.push_back(parameter.value.clone());
}

void Ema::update() {
  const auto s = static_cast<double>(updates_);
  const double decay = updates_ == 0 ? 0 : std::min(decay_, (1 + s) / (10 + s));
  const auto share = static_cast<float>(1 - decay);
  ++updates_;
  for (size_t i = 0; i < averages_.size(); ++i) {
    const float* p = parameters_[i].value.f32();
    float* average = averages_[i].f32();
    base::parallel_for(averages_[i].numel(), 32768, [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; ++j) average[j] -= share * (average[j] - p[j]);
    });
  }
}

void Ema::swap() {
  for (size_t i = 0; i < averages_.size(); ++i)
    std::swap_ranges(averages_[i].f32(), averages_[i].f32() + averages_[i].numel(),
                     parameters_[i].value.f32());
}

std::vector<std::pair<std::string, Tensor>> Ema::state() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < averages_.size(); ++i)
    all.emplace_back(parameters_[i].name + ".ema", averages_[i]);
  return all;
}

}  // namespace sumi::train

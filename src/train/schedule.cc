#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace sumi::train {
namespace {

constexpr double kPi = std::numbers::pi;

// What the learning rate is multiplied by after the warm-up.
double factor_after_warmup(const ScheduleOptions& o, int64_t step) {
  const double span = static_cast<double>(std::max<int64_t>(1, o.total_steps - o.warmup_steps));
  const double progress = static_cast<double>(step - o.warmup_steps) / span;
  if (o.name == "linear")
    return std::max(0.0, static_cast<double>(o.total_steps - step) / span);
  if (o.name == "cosine") {
    const double cycles = o.cycles > 0 ? o.cycles : 0.5;
    return std::max(0.0, 0.5 * (1 + std::cos(kPi * cycles * 2 * progress)));
  }
  if (o.name == "cosine_with_restarts") {
    if (progress >= 1) return 0;
    const double cycles = o.cycles > 0 ? o.cycles : 1;
    return std::max(0.0, 0.5 * (1 + std::cos(kPi * std::fmod(cycles * progress, 1.0))));
  }
  if (o.name == "polynomial") {
    if (step > o.total_steps) return o.end_rate / o.learning_rate;
    const double rest = 1 - static_cast<double>(step - o.warmup_steps) /
                                static_cast<double>(o.total_steps - o.warmup_steps);
    return ((o.learning_rate - o.end_rate) * std::pow(rest, o.power) + o.end_rate) /
           o.learning_rate;
  }
  return 1;
}

}  // namespace

void check_schedule_options(const ScheduleOptions& o) {
  const char* known[] = {"constant", "constant_with_warmup", "linear",
                         "cosine",   "cosine_with_restarts", "polynomial"};
  if (std::none_of(std::begin(known), std::end(known),
                   [&](const char* name) { return o.name == name; }))
    fail("schedule: expected {}, found {}", fmt::join(known, ", "), o.name);
  if (!(o.learning_rate > 0) || !std::isfinite(o.learning_rate))
    fail("learning rate: expected a number above 0, found {}", o.learning_rate);
  if (o.total_steps < 1) fail("steps: expected 1 or more, found {}", o.total_steps);
  if (o.warmup_steps < 0 || o.warmup_steps >= o.total_steps + 1)
    fail("warm-up steps: expected 0 to {}, found {}", o.total_steps, o.warmup_steps);
  if (o.name == "constant" && o.warmup_steps > 0)
    fail("schedule constant has no warm-up; constant_with_warmup does");
  if (o.name == "polynomial" && !(o.end_rate >= 0 && o.end_rate < o.learning_rate))
    fail("schedule polynomial: end rate {} is not below the learning rate {}", o.end_rate,
         o.learning_rate);
  if (!(o.cycles >= 0)) fail("schedule cycles: expected 0 or more, found {}", o.cycles);
}

double learning_rate_at(const ScheduleOptions& o, int64_t step) {
  if (o.name != "constant" && step < o.warmup_steps)
    return o.learning_rate * static_cast<double>(step) /
           static_cast<double>(std::max<int64_t>(1, o.warmup_steps));
  return o.learning_rate * factor_after_warmup(o, step);
}

}  // namespace sumi::train

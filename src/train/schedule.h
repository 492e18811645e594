// Learning-rate schedules, as transformers' and diffusers' get_scheduler() compute them.
#pragma once

#include <cstdint>
#include <string>

namespace sumi::train {

struct ScheduleOptions {
  // constant, constant_with_warmup, linear, cosine, cosine_with_restarts, polynomial
  std::string name = "cosine";
  double learning_rate = 1e-4;
  int64_t total_steps = 0;
  int64_t warmup_steps = 0;  // the rate rises from 0 over these; constant has none
  double cycles = 0;  // cosine: half-waves / 2 (0: 0.5); cosine_with_restarts: restarts (0: 1)
  double power = 1, end_rate = 1e-7;  // polynomial
};

// Throws Error naming the option that is out of range, or the known names.
void check_schedule_options(const ScheduleOptions& options);

// Of the step with this index, from 0.
double learning_rate_at(const ScheduleOptions& options, int64_t step);

}  // namespace sumi::train

// The kinds of schedulers: each function reads its keys from the configuration.
#pragma once

#include <memory>

#include "diffusion/scheduler.h"
#include "diffusion/schedulers/config.h"

namespace sumi::diffusion {

std::unique_ptr<Scheduler> make_ddim(SchedulerConfig& config);
std::unique_ptr<Scheduler> make_ddpm(SchedulerConfig& config);
std::unique_ptr<Scheduler> make_pndm(SchedulerConfig& config);
std::unique_ptr<Scheduler> make_lcm(SchedulerConfig& config);
std::unique_ptr<Scheduler> make_euler(SchedulerConfig& config);
std::unique_ptr<Scheduler> make_euler_ancestral(SchedulerConfig& config);
std::unique_ptr<Scheduler> make_heun(SchedulerConfig& config);
std::unique_ptr<Scheduler> make_lms(SchedulerConfig& config);
std::unique_ptr<Scheduler> make_dpm_solver(SchedulerConfig& config);
std::unique_ptr<Scheduler> make_unipc(SchedulerConfig& config);

}  // namespace sumi::diffusion

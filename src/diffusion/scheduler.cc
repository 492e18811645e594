#include "diffusion/scheduler.h"

#include <algorithm>

#include "base/error.h"
#include "diffusion/schedulers/schedulers.h"
#include "formats/bytes.h"
#include "formats/json.h"

namespace sumi::diffusion {

namespace {

using Make = std::unique_ptr<Scheduler> (*)(SchedulerConfig&);

// `changes` are keys that the name stands for.
struct Kind {
  const char* name;
  const char* class_name;
  Make make;
  nlohmann::json changes = nlohmann::json::object();
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> kinds = {
      {"ddpm", "DDPMScheduler", make_ddpm},
      {"ddim", "DDIMScheduler", make_ddim},
      {"pndm", "PNDMScheduler", make_pndm},
      {"euler", "EulerDiscreteScheduler", make_euler},
      {"euler-a", "EulerAncestralDiscreteScheduler", make_euler_ancestral},
      {"heun", "HeunDiscreteScheduler", make_heun},
      {"lms", "LMSDiscreteScheduler", make_lms},
      {"dpmpp-2m", "DPMSolverMultistepScheduler", make_dpm_solver},
      {"dpmpp-2m-karras",
       "DPMSolverMultistepScheduler",
       make_dpm_solver,
       {{"use_karras_sigmas", true}}},
      {"dpmpp-sde",
       "DPMSolverMultistepScheduler",
       make_dpm_solver,
       {{"algorithm_type", "sde-dpmsolver++"}}},
      {"unipc", "UniPCMultistepScheduler", make_unipc},
      {"lcm", "LCMScheduler", make_lcm},
  };
  return kinds;
}

std::unique_ptr<Scheduler> made(const Kind& kind, nlohmann::json object, const std::string& file) {
  erase_default_values(object);
  object.update(kind.changes);
  SchedulerConfig config(object, file);
  std::unique_ptr<Scheduler> scheduler = kind.make(config);
  config.finish();
  return scheduler;
}

}  // namespace

Tensor Scheduler::scale_model_input(const Tensor& sample, size_t) const { return sample; }

void Scheduler::set_eta(double eta) {
  if (eta != 0) fail("eta: only the ddim scheduler has it, found {}", eta);
}

nlohmann::json read_scheduler_config(const std::string& path) {
  std::string text = formats::read_text_file(path, size_t{1} << 20);
  const std::string infinity = ": -Infinity";
  for (size_t at; (at = text.find(infinity)) != std::string::npos;)
    text.replace(at, infinity.size(), ": null");
  return formats::parse_json(text, path);
}

std::unique_ptr<Scheduler> make_scheduler(const nlohmann::json& config, const std::string& file) {
  const std::string name = formats::require_string(config, "_class_name", file);
  for (const Kind& kind : kinds())
    if (name == kind.class_name) return made(kind, config, file);
  std::string known;
  for (const std::string& option : scheduler_names()) known += (known.empty() ? "" : ", ") + option;
  fail("{}: _class_name: no scheduler {}; one of {} can be chosen instead", file,
       formats::shown(name), known);
}

std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const nlohmann::json& config,
                                          const std::string& file) {
  if (!config.is_object()) fail("{}: expected an object", file);
  for (const Kind& kind : kinds())
    if (name == kind.name) return made(kind, config, file);
  std::string known;
  for (const std::string& option : scheduler_names()) known += (known.empty() ? "" : ", ") + option;
  fail("scheduler: expected one of {}, found {}", known, formats::shown(name));
}

const std::vector<std::string>& scheduler_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Kind& kind : kinds()) list.emplace_back(kind.name);
    return list;
  }();
  return names;
}

}  // namespace sumi::diffusion

// sumi bench image.
#pragma once

#include "cli/image_common.h"
#include "cli/verbs.h"

namespace sumi::cli {

struct SensitivityFlags {
  ImageFlags image;
  int64_t size = 0, steps = 2;
  double keep = 0.1;
  std::string output;
};
// sumi bench image --sensitivity.
int run_sensitivity(const SensitivityFlags& flags);

CLI::App* add_bench_image(CLI::App& bench, Run& run);

}  // namespace sumi::cli

// sumi bench image.
#pragma once

#include "cli/verbs.h"

namespace sumi::cli {

CLI::App* add_bench_image(CLI::App& bench, Run& run);

}  // namespace sumi::cli

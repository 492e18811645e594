#include "cli/short_waits.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>

namespace sumi::cli {

void wait_briefly(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length <= 0) return;
  path[length] = '\0';
  constexpr const char* kSpins = "1000";  // 13 to 50 microseconds: processors pause for longer or shorter
  if (setenv("GOMP_SPINCOUNT", kSpins, 0) == 0) execv(path, argv);
}

}  // namespace sumi::cli

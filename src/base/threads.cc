#include "base/threads.h"

#include <sched.h>

#include "base/error.h"

namespace sumi::base {

namespace {

int allowed_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

int& thread_count() {
  static int count = allowed_processors();
  return count;
}

}  // namespace

int num_threads() { return thread_count(); }

void set_num_threads(int n) {
  if (n < 1 || n > 1024) fail("threads: expected 1 to 1024, found {}", n);
  thread_count() = n;
  omp_set_num_threads(n);
}

}  // namespace sumi::base

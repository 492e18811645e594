// One thread pool for everything: OpenMP's, which oneDNN uses too.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace sumi::base {

// Threads that parallel loops use; at first the number of processors this process may run on.
int num_threads();

// Throws Error unless 1 <= n <= 1024.
void set_num_threads(int n);

// Calls body(begin, end) on disjoint ranges that cover [0, count), one range per thread, the boundaries
// multiples of `grain`. The split must not change results: bodies compute each element the same
// way wherever a range begins. Runs on the calling thread alone when there is one range or when already
// inside a parallel region. body must not throw.
template <class Body>
void parallel_for(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  const int64_t chunks = (count + grain - 1) / grain;
  const int threads = static_cast<int>(std::min<int64_t>(num_threads(), chunks));
  if (threads <= 1 || omp_in_parallel()) {
    body(int64_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const int64_t team = omp_get_num_threads(), rank = omp_get_thread_num();
    const int64_t begin = chunks * rank / team * grain;
    const int64_t end = std::min(count, chunks * (rank + 1) / team * grain);
    if (begin < end) body(begin, end);
  }
}

// Calls body(task) for each task in [0, count), each on whichever thread is free: for tasks of unequal cost.
template <class Body>
void parallel_tasks(int64_t count, const Body& body) {
  const int threads = static_cast<int>(std::min<int64_t>(num_threads(), count));
  if (threads <= 1 || omp_in_parallel()) {
    for (int64_t task = 0; task < count; ++task) body(task);
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t task = 0; task < count; ++task) body(task);
}

}  // namespace sumi::base

// One thread pool for everything: OpenMP's, which oneDNN uses too.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
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

// What is left of one thread's range in parallel_stream: the thread takes pieces from the front, others halves from the
// back. Both are whole grains but at the end of all.
class alignas(64) StreamRange {
 public:
  void set(int64_t begin, int64_t end) { ends_.store(packed(begin, end), std::memory_order_relaxed); }
  // False: nothing is left.
  bool take_piece(int64_t piece, int64_t grain, int64_t& begin, int64_t& end) {
    uint64_t old = ends_.load(std::memory_order_relaxed);
    int64_t last;
    do {
      if (!unpack(old, begin, last)) return false;
      const int64_t half = (last - begin + 2 * grain - 1) / (2 * grain) * grain;
      end = std::min(begin + std::min(piece, half), last);
    } while (!ends_.compare_exchange_weak(old, packed(end, last), std::memory_order_relaxed));
    return true;
  }
  // Leaves half of it or less.
  bool take_rear_half(int64_t grain, int64_t& begin, int64_t& end) {
    uint64_t old = ends_.load(std::memory_order_relaxed);
    int64_t first;
    do {
      if (!unpack(old, first, end)) return false;
      begin = first + (end - first) / 2 / grain * grain;
    } while (!ends_.compare_exchange_weak(old, packed(first, begin), std::memory_order_relaxed));
    return true;
  }

 private:
  static uint64_t packed(int64_t begin, int64_t end) {
    return static_cast<uint64_t>(begin) << 32 | static_cast<uint64_t>(end);
  }
  static bool unpack(uint64_t ends, int64_t& begin, int64_t& end) {
    begin = static_cast<int64_t>(ends >> 32);
    end = static_cast<int64_t>(ends & 0xffffffff);
    return begin < end;
  }

  std::atomic<uint64_t> ends_;  // begin in the upper half, end in the lower
};

// Like parallel_for, for work that streams through memory: body(begin, end, range_end) gets pieces of at most `piece`
// elements, in whole grains (piece >= grain >= 1). Each thread goes through its own range [.., range_end) from the front;
// one that is done takes the rear half of what another has left. So a thread whose processor is busy elsewhere does not
// hold up the rest. No piece is more than half of what a range has left, so that threads end at about the same time.
template <class Body>
void parallel_stream(int64_t count, int64_t piece, int64_t grain, const Body& body) {
  constexpr int kMostThreads = 64;
  const int threads = static_cast<int>(std::min<int64_t>({num_threads(), count, kMostThreads}));
  if (threads <= 1 || omp_in_parallel()) {
    if (count > 0) body(int64_t{0}, count, count);
    return;
  }
  StreamRange ranges[kMostThreads];
  for (int t = 0; t < threads; ++t) ranges[t].set(count * t / threads, count * (t + 1) / threads);
#pragma omp parallel num_threads(threads)
  {
    const int own = omp_get_thread_num();
    int64_t range_end = count * (own + 1) / threads, begin, end;
    const auto take_from_another = [&] {
      for (int i = 1; i < threads; ++i)
        if (ranges[(own + i) % threads].take_rear_half(grain, begin, range_end)) return true;
      return false;
    };
    for (;;) {
      while (ranges[own].take_piece(piece, grain, begin, end)) body(begin, end, range_end);
      if (!take_from_another()) break;
      ranges[own].set(begin, range_end);
    }
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

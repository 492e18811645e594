#include "base/threads.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace sumi::base {
namespace {

class Threads : public testing::Test {
 protected:
  void TearDown() override { set_num_threads(before_); }
  const int before_ = num_threads();
};

TEST_F(Threads, AStreamIsCoveredOnceInPiecesWhateverTheThreads) {
  for (const int threads : {1, 2, 3, 7}) {
    set_num_threads(threads);
    for (const int64_t count : {0, 1, 2, 5, 64, 1001})
      for (const auto& [piece, grain] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {4, 1}, {100, 4}, {5000, 1}}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
        parallel_stream(count, piece, grain, [&](int64_t begin, int64_t end, int64_t range_end) {
          EXPECT_TRUE(begin < end && end <= range_end && range_end <= count);
          const bool cut = threads > 1 && count > 1;
          EXPECT_TRUE(!cut || end - begin <= piece);
          EXPECT_TRUE(!cut || (end - begin) % grain == 0 || end == range_end);
          EXPECT_TRUE(!cut || end - begin <= (range_end - begin + 1) / 2 + grain);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        for (const auto& times : seen) EXPECT_EQ(times, 1);
      }
  }
}

TEST_F(Threads, AThreadThatIsDoneTakesPiecesOfASlowOne) {
  set_num_threads(2);
  std::atomic<int> by[2] = {0, 0};
  parallel_stream(200, 1, 1, [&](int64_t, int64_t, int64_t) {
    const int rank = omp_get_thread_num();
    ++by[rank];
    if (rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  });
  EXPECT_EQ(by[0] + by[1], 200);
  EXPECT_GT(by[0], 100);  // more than its own half
}

}  // namespace
}  // namespace sumi::base

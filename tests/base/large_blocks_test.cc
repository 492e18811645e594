#include "base/large_blocks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

namespace sumi::base {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
constexpr bool kOwnAllocator = true;
#else
constexpr bool kOwnAllocator = false;
#endif

size_t resident_bytes() {
  size_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

using Block = std::unique_ptr<char, decltype(&std::free)>;
Block touched(size_t bytes) {
  Block block(static_cast<char*>(std::malloc(bytes)), &std::free);
  std::memset(block.get(), 1, bytes);
  return block;
}

TEST(LargeBlocks, GoBackBetweenSmallOnesThatStay) {
  if (kOwnAllocator) GTEST_SKIP() << "another allocator";
  return_large_blocks();
  touched(size_t{20} << 20).reset();  // after which glibc would keep blocks of this size
  constexpr size_t kBytes = size_t{8} << 20;
  std::vector<Block> large, small;
  for (int i = 0; i < 16; ++i) {
    large.push_back(touched(kBytes));
    small.push_back(touched(1000));
  }
  const size_t before = resident_bytes();
  large.clear();
  EXPECT_LT(resident_bytes() + 15 * kBytes, before);
}

}  // namespace
}  // namespace sumi::base

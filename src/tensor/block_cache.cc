#include "tensor/block_cache.h"

#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "base/memory.h"

namespace sumi::tensor {
namespace {

// Under AddressSanitizer every block is fresh, so that it can see uses after the end.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCaching = false;
#elif defined(__has_feature)
constexpr bool kCaching = !__has_feature(address_sanitizer);
#else
constexpr bool kCaching = true;
#endif

constexpr size_t kSmallest = 256;                  // bytes of class 0
constexpr size_t kMostCached = size_t{128} << 20;  // bytes kept at most, all classes together
constexpr int kClasses = 4 * (24 - 8) + 1;         // four per doubling, 256 bytes to 16 MiB

struct SizeClass {
  int index;
  size_t bytes;
};

// The smallest class that holds `bytes`: 2^e, 1.25, 1.5 or 1.75 times 2^e, at least 256 bytes.
SizeClass size_class(size_t bytes) {
  if (bytes <= kSmallest) return {0, kSmallest};
  const int exponent = static_cast<int>(std::bit_width(bytes - 1)) - 1;  // 2^e < bytes <= 2^(e+1)
  const size_t step = size_t{1} << (exponent - 2);
  const size_t quarters = (bytes - (size_t{1} << exponent) + step - 1) / step;  // 1 to 4
  return {4 * (exponent - 8) + static_cast<int>(quarters),
          (size_t{1} << exponent) + quarters * step};
}

class BlockCache {
 public:
  std::byte* take(SizeClass size) {
    {
      const std::lock_guard lock(mutex_);
      auto& list = lists_[static_cast<size_t>(size.index)];
      if (!list.empty()) {
        std::byte* block = list.back();
        list.pop_back();
        cached_ -= size.bytes;
        return block;
      }
    }
    auto* block = static_cast<std::byte*>(std::aligned_alloc(base::kAlignment, size.bytes));
    if (!block) fail("out of memory: a tensor needs {} bytes", size.bytes);
    return block;
  }

  void give_back(std::byte* block, SizeClass size) noexcept {
    try {
      const std::lock_guard lock(mutex_);
      if (cached_ + size.bytes <= kMostCached) {
        lists_[static_cast<size_t>(size.index)].push_back(block);
        cached_ += size.bytes;
        return;
      }
    } catch (const std::bad_alloc&) {  // no room to remember it
    }
    std::free(block);
  }

  size_t cached() {
    const std::lock_guard lock(mutex_);
    return cached_;
  }

  void release() {
    const std::lock_guard lock(mutex_);
    for (auto& list : lists_) {
      for (std::byte* block : list) std::free(block);
      list.clear();
    }
    cached_ = 0;
  }

 private:
  std::mutex mutex_;
  std::array<std::vector<std::byte*>, kClasses> lists_;
  size_t cached_ = 0;
};

// Never destroyed: tensors in static variables may give blocks back after main().
BlockCache& cache() {
  static BlockCache* const cache = new BlockCache;
  return *cache;
}

}  // namespace

std::shared_ptr<std::byte> allocate_block(size_t bytes) {
  if (!kCaching || bytes > kLargestCachedBlock) return base::allocate(bytes);
  const SizeClass size = size_class(bytes);
  return {cache().take(size), [size](std::byte* block) { cache().give_back(block, size); }};
}

size_t cached_block_bytes() { return cache().cached(); }
void release_cached_blocks() { cache().release(); }

}  // namespace sumi::tensor

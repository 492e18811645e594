#include "tensor/block_cache.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "base/unowned_memory.h"
#include "tensor/movable_pages.h"

namespace sumi::tensor {
namespace {

constexpr size_t kSmallest = 256;                  // bytes of class 0
constexpr size_t kMostCached = size_t{128} << 20;  // bytes kept at most, all classes together
constexpr size_t kBeyondMost = size_t{32} << 20;    // bytes beyond the most handed out while a KeepBlocks lives
constexpr int kClasses = 4 * (40 - 8) + 1;         // four per doubling, 256 bytes to 1 TiB
constexpr size_t kLargest = size_t{1} << 40;

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

// The size of a class, as above.
size_t class_bytes(size_t index) {
  if (index == 0) return kSmallest;
  const size_t quarter = kSmallest / 4 << (index - 1) / 4;
  return (4 + (index - 1) % 4 + 1) * quarter;
}

class BlockCache {
 public:
  std::byte* take(SizeClass size, size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      handed_out_ += size.bytes;
      most_handed_out_ = std::max(most_handed_out_, handed_out_);
      auto& list = lists_[static_cast<size_t>(size.index)];
      if (!list.empty()) {
        std::byte* block = list.back();
        list.pop_back();
        cached_ -= size.bytes;
        return block;
      }
      shrink();
    }
    try {
      return base::allocate_unowned(bytes, size.bytes);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      handed_out_ -= size.bytes;
      throw;
    }
  }

  void give_back(std::byte* block, SizeClass size) noexcept {
    try {
      const std::lock_guard lock(mutex_);
      handed_out_ -= size.bytes;
      if (keepers_ > 0 || (size.bytes <= kLargestCachedBlock && cached_ + size.bytes <= kMostCached)) {
        lists_[static_cast<size_t>(size.index)].push_back(block);
        cached_ += size.bytes;
        return;
      }
    } catch (const std::bad_alloc&) {  // no room to remember it
    }
    std::free(block);
  }

  std::byte* take_pages(size_t bytes) {
    const std::lock_guard lock(mutex_);
    return pages_.take(bytes);
  }
  void give_pages_back(std::byte* block) {
    const std::lock_guard lock(mutex_);
    pages_.give_back(block);
    if (keepers_ == 0) pages_.release();
  }

  size_t cached() {
    const std::lock_guard lock(mutex_);
    return cached_ + pages_.waiting();
  }

  void release() {
    const std::lock_guard lock(mutex_);
    release_all();
  }

  bool keeping() {
    const std::lock_guard lock(mutex_);
    return keepers_ > 0;
  }

  void keep(int more) {
    const std::lock_guard lock(mutex_);
    keepers_ += more;
    most_handed_out_ = handed_out_;
    if (keepers_ == 0) release_all();
  }

 private:
  // Gives the largest waiting blocks back until the rest is within the bound.
  void shrink() {
    const size_t bound = keepers_ > 0 ? most_handed_out_ + kBeyondMost : most_handed_out_ + most_handed_out_ / 2 + kMostCached;
    for (auto list = lists_.rbegin(); list != lists_.rend(); ++list)
      while (!list->empty() && handed_out_ + cached_ > bound) {
        std::free(list->back());
        list->pop_back();
        cached_ -= class_bytes(static_cast<size_t>(lists_.rend() - list) - 1);
      }
  }

  void release_all() {
    for (auto& list : lists_) {
      for (std::byte* block : list) std::free(block);
      list.clear();
    }
    cached_ = 0;
    pages_.release();
  }

  std::mutex mutex_;
  std::array<std::vector<std::byte*>, kClasses> lists_;
  size_t cached_ = 0, handed_out_ = 0, most_handed_out_ = 0;
  int keepers_ = 0;
  MovablePages pages_;
};

// Never destroyed: tensors in static variables may give blocks back after main().
BlockCache& cache() {
  static BlockCache* const cache = new BlockCache;
  return *cache;
}

}  // namespace

std::shared_ptr<std::byte> allocate_block(size_t bytes) {
  if (!kBlocksAreCached || bytes > kLargest || (bytes > kLargestCachedBlock && !cache().keeping()))
    return base::allocate(bytes);
  if (bytes >= kMovableBlock && cache().keeping()) {
    constexpr size_t kPage = MovablePages::kPage;
    return {cache().take_pages((bytes + kPage - 1) / kPage * kPage), [](std::byte* block) { cache().give_pages_back(block); }};
  }
  const SizeClass size = size_class(bytes);
  return {cache().take(size, bytes), [size](std::byte* block) { cache().give_back(block, size); }};
}

KeepBlocks::KeepBlocks() { cache().keep(1); }
KeepBlocks::~KeepBlocks() { cache().keep(-1); }

size_t cached_block_bytes() { return cache().cached(); }
void release_cached_blocks() { cache().release(); }

}  // namespace sumi::tensor

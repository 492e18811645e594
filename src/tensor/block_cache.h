// Memory for tensors that come and go with every operation.
#pragma once

#include <cstddef>
#include <memory>

namespace sumi::tensor {

// Under AddressSanitizer every block is fresh, so that it can see uses after the end.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kBlocksAreCached = false;
#elif defined(__has_feature)
inline constexpr bool kBlocksAreCached = !__has_feature(address_sanitizer);
#else
inline constexpr bool kBlocksAreCached = true;
#endif

// Like base::allocate(), but blocks of up to kLargestCachedBlock bytes are kept when they are given
// back and handed out again, so that a decoder's small outputs cost no page faults. Thread-safe.
std::shared_ptr<std::byte> allocate_block(size_t bytes);

inline constexpr size_t kLargestCachedBlock = size_t{16} << 20;

// While one of these lives, blocks of every size wait in the cache, so that steps that are alike find the memory
// of the step before and cost no page faults. From kMovableBlock on their pages make up blocks of any size
// (tensor/movable_pages.h): there are never more than the most that were handed out at a time. Smaller blocks, handed
// out and waiting together, are never more than the most handed out and 32 MiB: those that wait go back to the system
// first. The last KeepBlocks to end gives all of them back.
class KeepBlocks {
 public:
  KeepBlocks();
  ~KeepBlocks();
  KeepBlocks(const KeepBlocks&) = delete;
  KeepBlocks& operator=(const KeepBlocks&) = delete;
};

inline constexpr size_t kMovableBlock = size_t{4} << 20;

// Bytes that wait in the cache, and a way to give them back to the system.
size_t cached_block_bytes();
void release_cached_blocks();

}  // namespace sumi::tensor

// Memory for tensors that come and go with every operation.
#pragma once

#include <cstddef>
#include <memory>

namespace sumi::tensor {

// Like base::allocate(), but blocks of up to kLargestCachedBlock bytes are kept when they are given
// back and handed out again, so that a decoder's small outputs cost no page faults. Thread-safe.
std::shared_ptr<std::byte> allocate_block(size_t bytes);

inline constexpr size_t kLargestCachedBlock = size_t{16} << 20;

// Bytes that wait in the cache, and a way to give them back to the system.
size_t cached_block_bytes();
void release_cached_blocks();

}  // namespace sumi::tensor

#include "tensor/movable_pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <numeric>

#include "base/error.h"

namespace sumi::tensor {
namespace {

constexpr size_t kMostMappings = 20000;  // Linux allows a process 65530

size_t total(const std::vector<size_t>& mappings) { return std::accumulate(mappings.begin(), mappings.end(), size_t{0}); }

// Addresses for a block, on a page's boundary, with nothing behind them yet.
std::byte* reserve(size_t bytes) {
  const size_t room = bytes + MovablePages::kPage;
  void* memory = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("out of memory: {} bytes asked for", bytes);
  auto* begin = static_cast<std::byte*>(memory);
  const size_t before = (MovablePages::kPage - reinterpret_cast<uintptr_t>(begin) % MovablePages::kPage) % MovablePages::kPage;
  if (before > 0) munmap(begin, before);
  if (room - before > bytes) munmap(begin + before + bytes, room - before - bytes);
  return begin + before;
}

void map_new(std::byte* at, size_t bytes) {
  if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
    fail("out of memory: {} bytes asked for", bytes);
  madvise(at, bytes, MADV_HUGEPAGE);
}

void move(std::byte* from, size_t bytes, std::byte* to) {
  if (mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
    fail("out of memory: {} bytes could not be moved", bytes);
}

}  // namespace

std::byte* MovablePages::hand_out(Block block) {
  std::byte* at = block.at;
  taken_.emplace(at, std::move(block.mappings));
  return at;
}

void MovablePages::keep(Block block) {
  const size_t bytes = total(block.mappings);
  waiting_bytes_ += bytes;
  waiting_.emplace(bytes, std::move(block));
}

MovablePages::Block MovablePages::remove_waiting(std::multimap<size_t, Block>::iterator at) {
  Block block = std::move(at->second);
  waiting_bytes_ -= at->first;
  waiting_.erase(at);
  return block;
}

std::byte* MovablePages::take(size_t bytes) {
  const auto at = waiting_.lower_bound(bytes);
  if (at == waiting_.end()) return gather(bytes);
  // The beginning of the smallest that suffices; the rest goes on waiting.
  Block block = remove_waiting(at), rest{block.at + bytes, {}};
  Mappings own;
  size_t left = bytes;
  for (const size_t mapping : block.mappings) {
    const size_t part = std::min(left, mapping);
    if (part > 0) own.push_back(part);
    if (mapping > part) rest.mappings.push_back(mapping - part);
    left -= part;
  }
  mappings_ += own.size() + rest.mappings.size() - block.mappings.size();
  if (!rest.mappings.empty()) keep(std::move(rest));
  return hand_out({block.at, std::move(own)});
}

// All that wait are smaller: moves them together, the largest first, and adds new pages.
std::byte* MovablePages::gather(size_t bytes) {
  if (mappings_ > kMostMappings) release();
  Block block{reserve(bytes), {}};
  size_t have = 0;
  while (have < bytes && !waiting_.empty()) {
    Block from = remove_waiting(std::prev(waiting_.end()));
    mappings_ -= from.mappings.size();
    size_t used = 0;
    while (used < from.mappings.size() && have < bytes) {
      size_t& mapping = from.mappings[used];
      const size_t part = std::min(mapping, bytes - have);
      move(from.at, part, block.at + have);
      block.mappings.push_back(part);
      have += part;
      from.at += part;
      mapping -= part;
      if (mapping == 0) ++used;
    }
    from.mappings.erase(from.mappings.begin(), from.mappings.begin() + static_cast<std::ptrdiff_t>(used));
    mappings_ += from.mappings.size();
    if (!from.mappings.empty()) keep(std::move(from));
  }
  if (have < bytes) {
    map_new(block.at + have, bytes - have);
    block.mappings.push_back(bytes - have);
  }
  mappings_ += block.mappings.size();
  return hand_out(std::move(block));
}

void MovablePages::give_back(std::byte* block) {
  const auto at = taken_.find(block);
  keep({block, std::move(at->second)});
  taken_.erase(at);
}

void MovablePages::release() {
  for (const auto& [bytes, block] : waiting_) {
    munmap(block.at, bytes);
    mappings_ -= block.mappings.size();
  }
  waiting_.clear();
  waiting_bytes_ = 0;
}

}  // namespace sumi::tensor

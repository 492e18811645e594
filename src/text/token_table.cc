#include "text/token_table.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

namespace sumi::text {
namespace {

constexpr size_t kFewestSlots = 16;

// Slots for so many entries: a quarter stays free.
size_t slots_for(size_t entries) { return std::bit_ceil(std::max(entries + entries / 3, kFewestSlots)); }

}  // namespace

void TokenTable::reserve(size_t tokens, size_t bytes) {
  places_.reserve(tokens);
  texts_.reserve(bytes);
  grow(slots_for(tokens));
}

void TokenTable::grow(size_t slots) {
  if (slots <= slots_.size()) return;
  std::vector<int32_t> old(slots, -1);
  old.swap(slots_);
  for (const int32_t id : old)
    if (id >= 0) slots_[slot_of(text(id))] = id;
}

size_t TokenTable::slot_of(std::string_view text) const {
  const size_t mask = slots_.size() - 1;
  size_t at = std::hash<std::string_view>()(text) & mask;
  while (slots_[at] >= 0 && this->text(slots_[at]) != text) at = (at + 1) & mask;
  return at;
}

bool TokenTable::insert(std::string_view text, int64_t id) {
  if (id < 0 || id > kMaxId || has(id)) return false;
  if (text.size() > std::numeric_limits<uint32_t>::max() - 1 - texts_.size()) return false;
  grow(slots_for(count_ + 1));
  int32_t& slot = slots_[slot_of(text)];
  if (slot >= 0) return false;
  slot = static_cast<int32_t>(id);
  const auto index = static_cast<size_t>(id);
  if (index >= places_.size()) places_.resize(index + 1);
  places_[index] = {static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(text.size())};
  texts_ += text;
  longest_ = std::max(longest_, text.size());
  ++count_;
  return true;
}

int32_t TokenTable::find(std::string_view text) const {
  if (slots_.empty() || text.size() > longest_) return -1;
  return slots_[slot_of(text)];
}

void MergeTable::reserve(size_t merges) { grow(slots_for(merges)); }

void MergeTable::grow(size_t slots) {
  if (slots <= slots_.size()) return;
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.left != kEmpty) slots_[slot_of(slot.left, slot.right)] = slot;
  }
}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  grow(slots_for(count_ + 1));
  Slot& slot = slots_[slot_of(left, right)];
  if (slot.left == kEmpty) ++count_;
  slot = {left, right, merge};
}

}  // namespace sumi::text

#include "text/token_table.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace sumi::text {
namespace {

uint32_t hash_of(std::string_view text) {
  return static_cast<uint32_t>(std::hash<std::string_view>()(text));
}

}  // namespace

void TokenTable::reserve(size_t tokens) {
  texts_.reserve(tokens);
  grow(std::bit_ceil(std::max<size_t>(tokens * 2, 16)));
}

void TokenTable::grow(size_t slots) {
  if (slots <= slots_.size()) return;
  std::vector<Slot> old(slots);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    size_t at = slot.hash & mask;
    while (slots_[at].id >= 0) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

size_t TokenTable::slot_of(std::string_view text, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at].id >= 0 && (slots_[at].hash != hash || this->text(slots_[at].id) != text)) {
    at = (at + 1) & mask;
  }
  return at;
}

bool TokenTable::insert(std::string text, int64_t id) {
  if (id < 0 || id > kMaxId || has(id)) return false;
  if ((count_ + 1) * 2 > slots_.size()) grow(std::max<size_t>(16, slots_.size() * 2));
  const uint32_t hash = hash_of(text);
  const size_t at = slot_of(text, hash);
  if (slots_[at].id >= 0) return false;
  slots_[at] = {hash, static_cast<int32_t>(id)};
  const auto index = static_cast<size_t>(id);
  if (index >= texts_.size()) {
    texts_.resize(index + 1);
    used_.resize(index + 1);
  }
  longest_ = std::max(longest_, text.size());
  texts_[index] = std::move(text);
  used_[index] = true;
  ++count_;
  return true;
}

int32_t TokenTable::find(std::string_view text) const {
  if (slots_.empty() || text.size() > longest_) return -1;
  return slots_[slot_of(text, hash_of(text))].id;
}

void MergeTable::reserve(size_t merges) { grow(std::bit_ceil(std::max<size_t>(merges * 2, 16))); }

void MergeTable::grow(size_t slots) {
  if (slots <= slots_.size()) return;
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.key != kEmpty) slots_[slot_of(slot.key)] = slot;
  }
}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  if ((count_ + 1) * 2 > slots_.size()) grow(std::max<size_t>(16, slots_.size() * 2));
  Slot& slot = slots_[slot_of(key(left, right))];
  if (slot.key == kEmpty) ++count_;
  slot = {key(left, right), merge};
}

}  // namespace sumi::text

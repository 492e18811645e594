// The vocabulary: token texts by id and ids by text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sumi::text {

class TokenTable {
 public:
  static constexpr int64_t kMaxId = (1 << 24) - 1;  // far above any vocabulary; bounds memory

  void reserve(size_t tokens);
  // False, and nothing changes, if the text or the id is taken, or the id is outside [0, kMaxId].
  bool insert(std::string text, int64_t id);

  int32_t find(std::string_view text) const;  // -1 if there is none
  bool has(int64_t id) const { return id >= 0 && id < size() && used_[static_cast<size_t>(id)]; }
  const std::string& text(int32_t id) const { return texts_[static_cast<size_t>(id)]; }
  int64_t size() const { return static_cast<int64_t>(texts_.size()); }  // highest id + 1
  size_t longest() const { return longest_; }                           // bytes

 private:
  struct Slot {
    uint32_t hash = 0;
    int32_t id = -1;
  };
  void grow(size_t slots);
  size_t slot_of(std::string_view text, uint32_t hash) const;

  std::vector<std::string> texts_;
  std::vector<bool> used_;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
  size_t count_ = 0, longest_ = 0;
};

// What two neighbouring tokens merge into.
class MergeTable {
 public:
  struct Merge {
    int32_t rank, id;
  };
  void reserve(size_t merges);
  void set(int32_t left, int32_t right, Merge merge);  // replaces an earlier one
  const Merge* find(int32_t left, int32_t right) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[slot_of(key(left, right))];
    return slot.key == kEmpty ? nullptr : &slot.merge;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge{};
  };
  static uint64_t key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t at = ((key * 0x9e3779b97f4a7c15ull) >> 32) & mask;  // 2^64 / golden ratio
    while (slots_[at].key != kEmpty && slots_[at].key != key) at = (at + 1) & mask;
    return at;
  }
  void grow(size_t slots);

  std::vector<Slot> slots_;
  size_t count_ = 0;
};

}  // namespace sumi::text

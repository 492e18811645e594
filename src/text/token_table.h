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

  void reserve(size_t tokens, size_t bytes = 0);  // bytes: of all texts
  // False, and nothing changes, if the text or the id is taken, or the id is outside [0, kMaxId].
  bool insert(std::string_view text, int64_t id);

  int32_t find(std::string_view text) const;  // -1 if there is none
  bool has(int64_t id) const { return id >= 0 && id < size() && places_[static_cast<size_t>(id)].size != kNone; }
  std::string_view text(int32_t id) const {  // until the next insert; empty where there is no token
    const Place place = places_[static_cast<size_t>(id)];
    return std::string_view(texts_).substr(place.begin, place.size == kNone ? 0 : place.size);
  }
  int64_t size() const { return static_cast<int64_t>(places_.size()); }  // highest id + 1
  size_t longest() const { return longest_; }                           // bytes

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Place {
    uint32_t begin = 0, size = kNone;
  };
  void grow(size_t slots);
  size_t slot_of(std::string_view text) const;

  std::string texts_;  // one behind the other
  std::vector<Place> places_;
  std::vector<int32_t> slots_;  // ids or -1: open addressing, a power of two, at most three quarters full
  size_t count_ = 0, longest_ = 0;
};

// What two neighbouring tokens merge into.
class MergeTable {
 public:
  struct Merge {
    int32_t rank, id;
  };
  // left and right: ids of a TokenTable.
  void reserve(size_t merges);
  void set(int32_t left, int32_t right, Merge merge);  // replaces an earlier one
  const Merge* find(int32_t left, int32_t right) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[slot_of(left, right)];
    return slot.left == kEmpty ? nullptr : &slot.merge;
  }

 private:
  static constexpr int32_t kEmpty = -1;
  struct Slot {
    int32_t left = kEmpty, right = 0;
    Merge merge{};
  };
  size_t slot_of(int32_t left, int32_t right) const {
    const size_t mask = slots_.size() - 1;
    const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    size_t at = ((key * 0x9e3779b97f4a7c15ull) >> 32) & mask;  // 2^64 / golden ratio
    while (slots_[at].left != kEmpty && (slots_[at].left != left || slots_[at].right != right)) at = (at + 1) & mask;
    return at;
  }
  void grow(size_t slots);

  std::vector<Slot> slots_;
  size_t count_ = 0;
};

}  // namespace sumi::text

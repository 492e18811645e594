// All keys that a text starts with, found in one walk over its bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sumi::text {

class ByteTrie {
 public:
  ByteTrie() = default;
  // Keys are distinct; an empty key is never found. Values are not negative.
  explicit ByteTrie(std::vector<std::pair<std::string, int32_t>> entries);

  // Calls found(length, value) for each key that `text` starts with, the shortest first.
  template <class Found>
  void prefixes(std::string_view text, const Found& found) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size() && !nodes_.empty(); ++i) {
      node = child(node, static_cast<uint8_t>(text[i]));
      if (node == 0) return;
      if (nodes_[node].value >= 0) found(i + 1, nodes_[node].value);
    }
  }

 private:
  // Children lie one after the other, in the order of their bytes. The root, 0, is no one's child.
  struct Node {
    uint32_t first_child;
    uint16_t children;
    uint8_t byte;
    int32_t value;  // -1: no key ends here
  };
  uint32_t child(uint32_t node, uint8_t byte) const {
    uint32_t low = nodes_[node].first_child, high = low + nodes_[node].children;
    const uint32_t end = high;
    while (low < high) {
      const uint32_t middle = (low + high) / 2;
      if (nodes_[middle].byte < byte) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < end && nodes_[low].byte == byte ? low : 0;
  }

  std::vector<Node> nodes_;
};

}  // namespace sumi::text

#include "text/byte_trie.h"

#include <algorithm>

namespace sumi::text {

ByteTrie::ByteTrie(std::vector<std::pair<std::string, int32_t>> entries) {
  std::sort(entries.begin(), entries.end());
  struct Range {  // of entries that share the first `depth` bytes: what lies below a node
    size_t begin, end, depth;
  };
  // Breadth first, so that children lie together.
  std::vector<Range> ranges = {{0, entries.size(), 0}};
  nodes_.push_back({0, 0, 0, -1});
  for (size_t node = 0; node < nodes_.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    if (begin < end && entries[begin].first.size() == depth) {
      nodes_[node].value = entries[begin].second;
      ++begin;
    }
    nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const char byte = entries[begin].first[depth];
      size_t next = begin;
      while (next < end && entries[next].first[depth] == byte) ++next;
      ranges.push_back({begin, next, depth + 1});
      nodes_.push_back({0, 0, static_cast<uint8_t>(byte), -1});
      ++nodes_[node].children;
      begin = next;
    }
  }
}

}  // namespace sumi::text

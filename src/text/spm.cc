#include "text/spm.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

struct Symbol {
  int32_t previous, next;
  size_t begin, length;  // bytes; length 0 once joined to the one before
  bool fixed;            // joins nothing
};

struct Candidate {
  float score;
  int32_t left;
  size_t length;  // of both together, to notice that one has grown
};

bool later(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score < b.score : a.left > b.left;
}

}  // namespace

Spm::Spm(TokenTable table, std::vector<float> scores, SpmOptions options, const std::string& where)
    : table_(std::move(table)),
      scores_(std::move(scores)),
      options_(std::move(options)),
      where_(where) {
  for (int byte = 0; byte < 256; ++byte) {
    auto& id = byte_ids_[static_cast<size_t>(byte)];
    id = options_.byte_fallback ? table_.find(fmt::format("<0x{:02X}>", byte)) : -1;
    if (id < 0 && !options_.sentencepiece)
      id = table_.find(std::string(1, static_cast<char>(byte)));
  }
}

int32_t Spm::find(std::string_view text) const {
  const int32_t id = table_.find(text);
  return id >= 0 && options_.sentencepiece && !options_.searchable[static_cast<size_t>(id)] ? -1
                                                                                            : id;
}

void Spm::encode(std::string_view piece, std::vector<int32_t>* ids) const {
  if (piece.empty()) return;
  if (options_.whole_first) {
    if (const int32_t id = find(piece); id >= 0) {
      ids->push_back(id);
      return;
    }
  }
  static thread_local std::vector<Symbol> symbols;
  static thread_local std::vector<Candidate> heap;
  symbols.clear();
  heap.clear();
  for (size_t begin = 0; begin < piece.size();) {
    size_t length = 0;
    options_.user_defined.prefixes(piece.substr(begin),
                                   [&](size_t found, int32_t) { length = found; });
    const bool fixed = length > 0;
    if (!fixed) length = std::min(utf8_length(piece[begin]), piece.size() - begin);
    const auto index = static_cast<int32_t>(symbols.size());
    symbols.push_back({index - 1, index + 1, begin, length, fixed});
    begin += length;
  }
  symbols.back().next = -1;
  const auto symbol = [&](int32_t i) -> Symbol& { return symbols[static_cast<size_t>(i)]; };
  const auto offer = [&](int32_t left, int32_t right) {
    if (left < 0 || right < 0 || symbol(left).fixed || symbol(right).fixed) return;
    const size_t length = symbol(left).length + symbol(right).length;
    const int32_t id = find(piece.substr(symbol(left).begin, length));
    if (id < 0) return;
    heap.push_back({scores_[static_cast<size_t>(id)], left, length});
    std::push_heap(heap.begin(), heap.end(), later);
  };
  for (int32_t i = 0; symbol(i).next >= 0; ++i) offer(i, i + 1);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate best = heap.back();
    heap.pop_back();
    Symbol& left = symbol(best.left);
    if (left.length == 0 || left.next < 0) continue;
    Symbol& right = symbol(left.next);
    if (left.length + right.length != best.length) continue;
    left.length = best.length;
    right.length = 0;
    left.next = right.next;
    if (left.next >= 0) symbol(left.next).previous = best.left;
    offer(left.previous, best.left);
    offer(best.left, left.next);
  }
  bool after_unknown = false;
  for (int32_t i = 0; i >= 0; i = symbol(i).next) {
    const std::string_view text = piece.substr(symbol(i).begin, symbol(i).length);
    const int32_t id = find(text);
    if (id >= 0) {
      ids->push_back(id);
      after_unknown = false;
      continue;
    }
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      const bool known = byte_ids_[byte] >= 0;
      if (!known && after_unknown && options_.sentencepiece) continue;
      const int32_t byte_id = known ? byte_ids_[byte] : options_.unknown;
      if (byte_id < 0)
        fail("{}: no token for the byte 0x{:02X}, and none for unknown ones", where_, byte);
      ids->push_back(byte_id);
      after_unknown = !known;
    }
  }
}

}  // namespace sumi::text

#include "text/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

constexpr double kUnknownPenalty = 10;  // below the lowest score, in both libraries

struct Node {  // the best cut of the text up to here
  double score = 0;
  size_t begin = 0;  // of its last token
  int32_t id = -1;   // of that token; -1: unknown
  bool reached = false;
};

}  // namespace

Unigram::Unigram(TokenTable table, std::vector<double> scores, UnigramOptions options,
                 const std::string& where)
    : table_(std::move(table)),
      scores_(std::move(scores)),
      options_(std::move(options)),
      where_(where) {
  if (options_.unknown >= 0 && !table_.has(options_.unknown)) {
    fail("{}: unk_id {} is not in the vocabulary of {}", where, options_.unknown, table_.size());
  }
  std::vector<std::pair<std::string, int32_t>> entries;
  double lowest = std::numeric_limits<double>::max();
  highest_score_ = std::numeric_limits<double>::lowest();
  for (int32_t id = 0; id < table_.size(); ++id) {
    if (!table_.has(id)) continue;
    const auto index = static_cast<size_t>(id);
    const bool searchable = !options_.sentencepiece || options_.searchable[index];
    if (searchable) entries.emplace_back(table_.text(id), id);
    if (options_.sentencepiece && (!searchable || options_.user_defined[index])) continue;
    lowest = std::min(lowest, scores_[index]);
    highest_score_ = std::max(highest_score_, scores_[index]);
  }
  trie_ = ByteTrie(std::move(entries));
  unknown_score_ = lowest - kUnknownPenalty;
  if (options_.sentencepiece) unknown_score_ = static_cast<float>(unknown_score_);
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = table_.find(fmt::format("<0x{:02X}>", byte));
  }
}

void Unigram::encode(std::string_view piece, std::vector<int32_t>* ids) const {
  if (piece.empty()) return;
  static thread_local std::vector<Node> nodes;
  nodes.assign(piece.size() + 1, Node());
  const auto offer = [&](size_t begin, size_t length, int32_t id, double score) {
    Node& node = nodes[begin + length];
    if (node.reached && !(score > node.score)) return;  // the first of equals stays
    node = {options_.float_sums ? static_cast<float>(score) : score, begin, id, true};
  };
  for (size_t begin = 0; begin < piece.size();) {
    const size_t character = std::min(utf8_length(piece[begin]), piece.size() - begin);
    const double before = nodes[begin].score;
    bool covered = false;
    trie_.prefixes(piece.substr(begin), [&](size_t length, int32_t id) {
      const auto index = static_cast<size_t>(id);
      double score = scores_[index];
      if (options_.sentencepiece && options_.user_defined[index]) {
        // unigram_model.cc: long enough to win against its own parts
        score = static_cast<float>(length) * static_cast<float>(highest_score_) - 0.1;
      }
      offer(begin, length, id, score + before);
      covered = covered || length == character;
    });
    if (!covered) {
      const double score = unknown_score_ + before;
      offer(begin, character, -1, options_.float_sums ? static_cast<float>(score) : score);
    }
    begin += character;
  }
  // Backwards; a run of unknown characters is one token.
  static thread_local std::vector<std::pair<size_t, size_t>> cuts;  // begin, end
  cuts.clear();
  const auto unknown = [&](size_t end) {
    return nodes[end].id < 0 || nodes[end].id == options_.unknown;
  };
  for (size_t end = piece.size(); end > 0;) {
    size_t begin = nodes[end].begin;
    if (unknown(end)) {
      while (begin > 0 && unknown(begin)) begin = nodes[begin].begin;
    }
    cuts.emplace_back(begin, end);
    end = begin;
  }
  for (auto cut = cuts.rbegin(); cut != cuts.rend(); ++cut) {
    const auto [begin, end] = *cut;
    if (unknown(end)) {
      append_unknown(piece.substr(begin, end - begin), ids);
    } else {
      ids->push_back(nodes[end].id);
    }
  }
}

void Unigram::append_unknown(std::string_view text, std::vector<int32_t>* ids) const {
  if (!options_.sentencepiece) {
    // tokenizers looks up the joined characters, which may spell a token that a better cut crossed
    if (const int32_t id = table_.find(text); id >= 0) {
      ids->push_back(id);
      return;
    }
  }
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (options_.byte_fallback &&
      std::all_of(text.begin(), text.end(), [&](char c) { return byte_id(c) >= 0; })) {
    for (const char c : text) ids->push_back(byte_id(c));
    return;
  }
  if (options_.unknown < 0) {
    fail("{}: no token for \"{}\", and none for unknown text", where_, text.substr(0, 100));
  }
  ids->push_back(options_.unknown);
}

}  // namespace sumi::text

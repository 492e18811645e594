#include "text/bpe.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace sumi::text {

void BpeMerger::run(const MergeTable& merges, std::vector<int32_t>* symbols) {
  const auto count = static_cast<int32_t>(symbols->size());
  if (count < 2) return;
  std::vector<int32_t>& ids = *symbols;
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  const auto at = [](int32_t i) { return static_cast<size_t>(i); };
  heap_.clear();
  links_.resize(symbols->size());
  for (int32_t i = 0; i < count; ++i) links_[at(i)] = {i - 1, i + 1 < count ? i + 1 : -1};
  for (int32_t i = 0; i + 1 < count; ++i) {
    if (const auto* merge = merges.find(ids[at(i)], ids[at(i + 1)])) {
      heap_.push_back({merge->rank, i, merge->id});
    }
  }
  std::make_heap(heap_.begin(), heap_.end(), later);
  constexpr int32_t kGone = -2;  // merged into the symbol before
  const auto offer = [&](int32_t left, int32_t right) {
    if (const auto* merge = merges.find(ids[at(left)], ids[at(right)])) {
      heap_.push_back({merge->rank, left, merge->id});
      std::push_heap(heap_.begin(), heap_.end(), later);
    }
  };
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Candidate best = heap_.back();
    heap_.pop_back();
    const int32_t left = best.position, right = links_[at(left)].next;
    if (ids[at(left)] == kGone || right < 0) continue;
    // A candidate is stale once a neighbour merged, unless the new pair gives the same token.
    const auto* merge = merges.find(ids[at(left)], ids[at(right)]);
    if (!merge || merge->id != best.id) continue;
    ids[at(left)] = best.id;
    ids[at(right)] = kGone;
    const int32_t next = links_[at(right)].next, previous = links_[at(left)].previous;
    links_[at(left)].next = next;
    if (next >= 0) links_[at(next)].previous = left;
    if (previous >= 0) offer(previous, left);
    if (next >= 0) offer(left, next);
  }
  symbols->erase(std::remove(symbols->begin(), symbols->end(), kGone), symbols->end());
}

Bpe::Bpe(TokenTable table, MergeTable merges, BpeOptions options, const std::string& where)
    : table_(std::move(table)), merges_(std::move(merges)), options_(std::move(options)) {
  if (!options_.unknown.empty()) {
    unknown_ = table_.find(options_.unknown);
    if (unknown_ < 0) fail("{}: unk_token {} is not in the vocabulary", where, options_.unknown);
  }
  for (size_t code_point = 0; code_point < plain_.size(); ++code_point) {
    std::string character;
    append_utf8(&character, static_cast<char32_t>(code_point));
    plain_[code_point] = table_.find(character);
  }
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = table_.find(fmt::format("<0x{:02X}>", byte));
  }
}

void Bpe::symbols_of(std::string_view piece, std::vector<int32_t>* symbols) const {
  const bool affixes = !options_.continuing_prefix.empty() || !options_.word_suffix.empty();
  bool pending = false;  // an unknown token not yet appended, so that the next may join it
  for (size_t position = 0; position < piece.size();) {
    const size_t begin = position;
    const char32_t code_point = next_code_point(piece, &position);
    std::string_view character = piece.substr(begin, position - begin);
    std::string decorated;
    int32_t id;
    if (affixes) {
      if (begin > 0) decorated = options_.continuing_prefix;
      decorated += character;
      if (position == piece.size()) decorated += options_.word_suffix;
      character = decorated;
      id = table_.find(character);
    } else {
      id = code_point < plain_.size() ? plain_[code_point] : table_.find(character);
    }
    if (id >= 0) {
      if (pending) symbols->push_back(unknown_);
      pending = false;
      symbols->push_back(id);
      continue;
    }
    if (options_.byte_fallback) {
      const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
      if (std::all_of(character.begin(), character.end(),
                      [&](char c) { return byte_id(c) >= 0; })) {
        for (const char c : character) symbols->push_back(byte_id(c));
        continue;
      }
    }
    if (unknown_ < 0) continue;
    if (pending && !options_.fuse_unknown) symbols->push_back(unknown_);
    pending = true;
  }
  if (pending) symbols->push_back(unknown_);
}

void Bpe::encode(std::string_view piece, std::vector<int32_t>* ids) const {
  if (options_.ignore_merges) {
    const int32_t id = table_.find(piece);
    if (id >= 0) {
      ids->push_back(id);
      return;
    }
  }
  static thread_local BpeMerger merger;
  static thread_local std::vector<int32_t> symbols;
  symbols.clear();
  symbols_of(piece, &symbols);
  merger.run(merges_, &symbols);
  ids->insert(ids->end(), symbols.begin(), symbols.end());
}

}  // namespace sumi::text

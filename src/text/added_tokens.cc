#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"

namespace sumi::text {
namespace {

// Where the character before `end` starts.
size_t previous_start(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

bool ends_with_word(std::string_view text) {
  if (text.empty()) return false;
  size_t at = previous_start(text, text.size());
  return is_word(next_code_point(text, &at));
}

bool starts_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_word(next_code_point(text, &at));
}

}  // namespace

void AddedTokenMatcher::add(const AddedToken& token, std::string pattern) {
  if (pattern.empty()) return;
  const auto index = static_cast<uint32_t>(entries_.size());
  auto& list = by_first_byte_[static_cast<unsigned char>(pattern[0])];
  const auto shorter = [&](uint32_t other) {
    return entries_[other].pattern.size() < pattern.size();
  };
  list.insert(std::find_if(list.begin(), list.end(), shorter), index);
  entries_.push_back({token, std::move(pattern)});
}

std::vector<AddedTokenMatcher::Segment> AddedTokenMatcher::split(
    std::string_view text, bool with_special, std::span<const int32_t> as_text) const {
  std::vector<Segment> segments;
  size_t done = 0;
  const auto is_text = [&](int32_t id) {
    return std::find(as_text.begin(), as_text.end(), id) != as_text.end();
  };
  if (entries_.empty()) {
    if (!text.empty()) segments.push_back({-1, 0, text.size()});
    return segments;
  }
  for (size_t at = 0; at < text.size();) {
    const auto& candidates = by_first_byte_[static_cast<unsigned char>(text[at])];
    const auto hit = std::find_if(candidates.begin(), candidates.end(), [&](uint32_t index) {
      const std::string& pattern = entries_[index].pattern;
      return text.compare(at, pattern.size(), pattern) == 0 && !is_text(entries_[index].token.id);
    });
    if (hit == candidates.end()) {
      ++at;
      continue;
    }
    const Entry& entry = entries_[*hit];
    size_t begin = at, end = at + entry.pattern.size();
    at = end;  // also if it does not count: matches do not overlap
    if (entry.token.special && !with_special) continue;
    if (entry.token.single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (entry.token.lstrip) {
      while (begin > done) {
        const size_t start = previous_start(text, begin);
        size_t next = start;
        if (!is_whitespace(next_code_point(text, &next))) break;
        begin = std::max(start, done);
      }
    }
    if (entry.token.rstrip) {
      while (end < text.size()) {
        size_t next = end;
        if (!is_whitespace(next_code_point(text, &next))) break;
        end = next;
      }
    }
    if (end <= done) continue;  // inside the white space that the token before took
    begin = std::max(begin, done);
    if (begin > done) segments.push_back({-1, done, begin});
    segments.push_back({entry.token.id, begin, end});
    done = end;
  }
  if (done < text.size()) segments.push_back({-1, done, text.size()});
  return segments;
}

}  // namespace sumi::text

#include "text/charsmap.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

// A unit of darts-clone: bit 31 marks a value, bit 8 that a child holds one; bits 0-7 are the
// label, bits 10-30 the offset to the children, shifted by 8 more if bit 9 is set.
constexpr uint32_t kIsValue = 1u << 31;

uint32_t label(uint32_t unit) { return unit & (kIsValue | 0xff); }
bool has_value(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

uint32_t little_endian(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

Charsmap::Charsmap(std::string_view blob, const std::string& where) {
  if (blob.empty()) return;
  const uint32_t size = blob.size() < 4 ? 0 : little_endian(blob.data());
  if (blob.size() < 4 || size > blob.size() - 4 || size % 4 != 0) {
    fail("{}: precompiled_charsmap: a trie of {} bytes in a table of {}", where, size, blob.size());
  }
  units_.resize(size / 4);
  for (size_t i = 0; i < units_.size(); ++i) units_[i] = little_endian(blob.data() + 4 + i * 4);
  replacements_ = blob.substr(4 + size);
  if (!is_valid_utf8(replacements_)) {
    fail("{}: precompiled_charsmap: replacements are not UTF-8", where);
  }
}

template <class Found>
void Charsmap::search(std::string_view text, const Found& found) const {
  if (units_.empty()) return;
  size_t position = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    position ^= byte;
    // A broken table leads anywhere: every step is checked. Its zero bytes would be leaves.
    if (byte == 0 || position >= units_.size() || label(units_[position]) != byte) return;
    const uint32_t unit = units_[position];
    position ^= offset(unit);
    if (!has_value(unit)) continue;
    if (position >= units_.size()) return;
    const size_t begin = units_[position] & ~kIsValue;
    if (begin > replacements_.size()) return;
    // Inside a character only in a broken table.
    if (begin < replacements_.size() &&
        (static_cast<uint8_t>(replacements_[begin]) & 0xc0) == 0x80) {
      return;
    }
    const size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    const auto replacement = std::string_view(replacements_).substr(begin, end - begin);
    if (!found(Match{i + 1, replacement})) return;
  }
}

std::optional<Charsmap::Match> Charsmap::longest(std::string_view text) const {
  std::optional<Match> best;
  search(text, [&](const Match& match) {
    best = match;
    return true;
  });
  return best;
}

std::optional<Charsmap::Match> Charsmap::shortest(std::string_view text) const {
  std::optional<Match> first;
  search(text, [&](const Match& match) {
    first = match;
    return false;
  });
  return first;
}

std::string normalize_precompiled(const Charsmap& map, std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t begin = 0; begin < text.size();) {
    // The grapheme that starts here.
    size_t end = begin;
    auto last = static_cast<utf8proc_int32_t>(next_code_point(text, &end));
    utf8proc_int32_t state = 0;
    while (end < text.size()) {
      size_t next = end;
      const auto code_point = static_cast<utf8proc_int32_t>(next_code_point(text, &next));
      if (utf8proc_grapheme_break_stateful(last, code_point, &state)) break;
      last = code_point;
      end = next;
    }
    const std::string_view grapheme = text.substr(begin, end - begin);
    begin = end;
    if (grapheme.size() < 6) {
      if (const auto match = map.shortest(grapheme)) {
        result += match->replacement;
        continue;
      }
    }
    for (size_t at = 0; at < grapheme.size();) {
      const size_t start = at;
      next_code_point(grapheme, &at);
      const std::string_view character = grapheme.substr(start, at - start);
      const auto match = map.shortest(character);
      result += match ? match->replacement : character;
    }
  }
  return result;
}

std::string decode_base64(std::string_view text, const std::string& where) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int count = 0;
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) fail("{}: not base64", where);
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  if (count == 6) fail("{}: not base64", where);
  return bytes;
}

}  // namespace sumi::text

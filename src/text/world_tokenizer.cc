#include "text/world_tokenizer.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

constexpr int64_t kMostTokens = 1 << 20;
constexpr const char* kEndOfText = "<|endoftext|>";  // what id 0 is shown as

template <class Number>
Number number(std::string_view text, int base, const std::string& where) {
  Number value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || stop != text.data() + text.size())
    fail("{}: expected a number, found \"{}\"", where, text);
  return value;
}

// The bytes of a literal such as 'a\n', "it's" or b'\xff'.
std::string literal_bytes(std::string_view literal, const std::string& where) {
  const bool raw = !literal.empty() && literal[0] == 'b';
  if (raw) literal.remove_prefix(1);
  if (literal.size() < 2 || (literal[0] != '\'' && literal[0] != '"') ||
      literal.back() != literal[0])
    fail("{}: expected a string in quotes", where);
  literal = literal.substr(1, literal.size() - 2);
  std::string bytes;
  for (size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\') {
      bytes += literal[i];
      continue;
    }
    const char kind = ++i < literal.size() ? literal[i] : '\0';
    const size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    if (digits > 0) {
      if (literal.size() - i - 1 < digits) fail("{}: an escape is cut short", where);
      const auto value = number<uint32_t>(literal.substr(i + 1, digits), 16, where);
      if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        fail("{}: U+{:X} is no character", where, value);
      if (raw)
        bytes += static_cast<char>(value);
      else
        append_utf8(&bytes, value);
      i += digits;
    } else if (kind == 'n' || kind == 'r' || kind == 't') {
      bytes += kind == 'n' ? '\n' : kind == 'r' ? '\r' : '\t';
    } else if (kind == '\\' || kind == '\'' || kind == '"') {
      bytes += kind;
    } else {
      fail("{}: unknown escape \\{}", where, kind);
    }
  }
  return bytes;
}

}  // namespace

WorldTokenizer::WorldTokenizer(std::string_view vocabulary, const std::string& name) : name_(name) {
  int64_t line_number = 1;
  for (size_t begin = 0; begin < vocabulary.size(); ++line_number) {
    const size_t end = std::min(vocabulary.find('\n', begin), vocabulary.size());
    std::string_view line = vocabulary.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty()) add_line(line, fmt::format("{}: line {}", name_, line_number));
    begin = end + 1;
  }
  for (size_t id = 0; id < texts_.size(); ++id)
    if (!texts_[id].empty()) sorted_.push_back(static_cast<int32_t>(id));
  std::sort(sorted_.begin(), sorted_.end(), [&](int32_t a, int32_t b) {
    return texts_[static_cast<size_t>(a)] < texts_[static_cast<size_t>(b)];
  });
  for (int byte = 0; byte < 256; ++byte) {
    const char one = static_cast<char>(byte);
    if (longest_at({&one, 1}) < 0) fail("{}: no token spells the byte 0x{:02x}", name_, byte);
  }
  eos_id = 0;
  end_ids = {0};
}

void WorldTokenizer::add_line(std::string_view line, const std::string& where) {
  const size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    fail("{}: expected an id, a string and its length", where);
  const auto id = number<int64_t>(line.substr(0, first), 10, where);
  if (id < 1 || id >= kMostTokens)
    fail("{}: expected an id of 1 to {}, found {}", where, kMostTokens - 1, id);
  const std::string bytes = literal_bytes(line.substr(first + 1, last - first - 1), where);
  const auto length = number<size_t>(line.substr(last + 1), 10, where);
  if (bytes.size() != length || bytes.empty())
    fail("{}: {} bytes, expected {}", where, bytes.size(), length);
  if (id >= vocab_size()) texts_.resize(static_cast<size_t>(id) + 1);
  std::string& text = texts_[static_cast<size_t>(id)];
  if (!text.empty()) fail("{}: the id {} occurs twice", where, id);
  text = bytes;
}

// Narrows the range of tokens that share a longer and longer start with the text. The token that is
// this start, if there is one, comes first in its range.
int32_t WorldTokenizer::longest_at(std::string_view text) const {
  auto begin = sorted_.begin(), end = sorted_.end();
  int32_t best = -1;
  for (size_t depth = 0; depth < text.size(); ++depth) {
    // A token that ends here sorts before all that go on.
    const auto byte_of = [&](int32_t id) {
      const std::string& token = texts_[static_cast<size_t>(id)];
      return depth < token.size() ? static_cast<unsigned char>(token[depth]) : -1;
    };
    const int byte = static_cast<unsigned char>(text[depth]);
    begin = std::partition_point(begin, end, [&](int32_t id) { return byte_of(id) < byte; });
    end = std::partition_point(begin, end, [&](int32_t id) { return byte_of(id) == byte; });
    if (begin == end) break;
    if (texts_[static_cast<size_t>(*begin)].size() == depth + 1) best = *begin;
  }
  return best;
}

std::vector<int32_t> WorldTokenizer::encode(std::string_view text, const EncodeOptions&) const {
  const std::string valid = repair_utf8(text);
  std::vector<int32_t> ids;
  for (size_t at = 0; at < valid.size();) {
    ids.push_back(longest_at(std::string_view(valid).substr(at)));
    at += texts_[static_cast<size_t>(ids.back())].size();
  }
  return ids;
}

std::string WorldTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  for (const int32_t id : ids)
    if (id != 0 || !skip_special) text += token_text(id);
  return text;
}

std::string WorldTokenizer::token_text(int32_t id) const {
  if (id == 0) return kEndOfText;
  if (id < 0 || id >= vocab_size() || texts_[static_cast<size_t>(id)].empty())
    fail("{}: no token has the id {}", name_, id);
  return texts_[static_cast<size_t>(id)];
}

std::optional<int32_t> WorldTokenizer::find_token(std::string_view text) const {
  if (text == kEndOfText) return 0;
  const int32_t id = longest_at(text);
  if (id < 0 || texts_[static_cast<size_t>(id)].size() != text.size()) return std::nullopt;
  return id;
}

}  // namespace sumi::text

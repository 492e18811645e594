#include "text/text_decoder.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

// What English text leaves between tokens of WordPiece, and what it should be.
constexpr std::array<std::pair<const char*, const char*>, 11> kCleanup = {{{" .", "."},
                                                                           {" ?", "?"},
                                                                           {" !", "!"},
                                                                           {" ,", ","},
                                                                           {" ' ", "'"},
                                                                           {" n't", "n't"},
                                                                           {" 'm", "'m"},
                                                                           {" do not", " don't"},
                                                                           {" 's", "'s"},
                                                                           {" 've", "'ve"},
                                                                           {" 're", "'re"}}};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// The byte that "<0x0A>" names, or -1.
int named_byte(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return -1;
  const int high = hex_digit(token[3]), low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// How often `content` stands at the start, at most `limit` times.
size_t count_leading(std::string_view text, std::string_view content, size_t limit) {
  size_t count = 0;
  while (count < limit && text.substr(count * content.size(), content.size()) == content) ++count;
  return count;
}

size_t count_trailing(std::string_view text, std::string_view content, size_t limit) {
  size_t count = 0;
  while (count < limit && (count + 1) * content.size() <= text.size() &&
         text.substr(text.size() - (count + 1) * content.size(), content.size()) == content) {
    ++count;
  }
  return count;
}

std::string one_character(const Json& config, const char* key, const std::string& missing,
                          const std::string& where) {
  const std::string text = optional_string(config, key, missing, where);
  size_t at = 0;
  if (!text.empty()) next_code_point(text, &at);
  if (text.empty() || at != text.size()) {
    fail("{}: {}: expected one character, found \"{}\"", where, key, text);
  }
  return text;
}

size_t count_member(const Json& config, const char* key, const std::string& where) {
  const int64_t count = require_int(config, key, where);
  if (count < 0 || count > 1000) fail("{}: {}: expected 0 to 1000, found {}", where, key, count);
  return static_cast<size_t>(count);
}

}  // namespace

TextDecoder::TextDecoder(const Json& config, const std::string& where) : joined_by_space_(false) {
  add(config, where, 0);
  for (const Step& step : steps_) {
    if (step.kind == Kind::bpe_suffix && (steps_.size() > 1 || fused_)) {
      fail("{}: BPEDecoder together with other decoders is not supported", where);
    }
  }
}

void TextDecoder::add(const Json& config, const std::string& where, int depth) {
  const std::string type = require_string(config, "type", where);
  const std::string here = where + " " + type;
  if (type == "Sequence") {
    const Json& list = require_array(config, "decoders", here);
    for (const Json& step : list) add(step, here, depth + 1);
    return;
  }
  if (type == "Strip") {
    const std::string content = one_character(config, "content", " ", here);
    const size_t left = count_member(config, "start", here),
                 right = count_member(config, "stop", here);
    if (!fused_) {
      steps_.push_back({Kind::strip, content, "", false, left, right});
      return;
    }
    if (!strip_content_.empty()) fail("{}: a second Strip after Fuse is not supported", here);
    strip_content_ = content, strip_left_ = left, strip_right_ = right;
    return;
  }
  if (type == "Fuse") {
    fused_ = true;
    return;
  }
  if (fused_) fail("{}: not supported after Fuse or ByteLevel", here);
  if (type == "ByteLevel") {
    steps_.push_back({Kind::byte_level, "", ""});
    fused_ = true;  // it joins all bytes
  } else if (type == "Replace") {
    const Json& pattern = require_field(config, "pattern", here);
    if (find_field(pattern, "Regex")) fail("{}: a Regex pattern is not supported", here);
    const std::string from = require_string(pattern, "String", here);
    steps_.push_back({Kind::replace, from, require_string(config, "content", here)});
  } else if (type == "ByteFallback") {
    steps_.push_back({Kind::byte_fallback, "", ""});
  } else if (type == "Metaspace") {
    const bool prefix = optional_bool(config, "add_prefix_space", true, here);
    const std::string scheme =
        optional_string(config, "prepend_scheme", prefix ? "always" : "never", here);
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      fail("{}: unknown prepend_scheme {}", here, scheme);
    }
    steps_.push_back(
        {Kind::metaspace, one_character(config, "replacement", "▁", here), "", scheme != "never"});
  } else if (type == "WordPiece") {
    steps_.push_back({Kind::word_piece, optional_string(config, "prefix", "##", here), "",
                      optional_bool(config, "cleanup", true, here)});
  } else if (type == "BPEDecoder") {
    const std::string suffix = optional_string(config, "suffix", "</w>", here);
    if (suffix.empty()) fail("{}: suffix is empty", here);
    steps_.push_back({Kind::bpe_suffix, suffix, " "});
  } else {
    fail("{}: unknown decoder type {}", where, type);
  }
}

void TextDecoder::apply(const Step& step, bool first, std::string* token) const {
  switch (step.kind) {
    case Kind::byte_level: {
      std::string bytes;
      for (size_t at = 0; at < token->size();) {
        const int byte = symbol_byte(next_code_point(*token, &at));
        if (byte < 0) return;  // not in the alphabet: the token stands for itself
        bytes += static_cast<char>(byte);
      }
      *token = std::move(bytes);
      return;
    }
    case Kind::replace:
      if (!step.from.empty()) replace_all(token, step.from, step.to);
      return;
    case Kind::byte_fallback:
      if (const int byte = named_byte(*token); byte >= 0)
        *token = std::string(1, static_cast<char>(byte));
      return;
    case Kind::metaspace:
      replace_all(token, step.from, first && step.flag ? "" : " ");
      return;
    case Kind::strip: {
      const size_t left = count_leading(*token, step.from, step.left) * step.from.size();
      const size_t right = count_trailing(*token, step.from, step.right) * step.from.size();
      *token =
          left + right >= token->size() ? "" : token->substr(left, token->size() - left - right);
      return;
    }
    case Kind::word_piece:
      if (!first) {
        if (!step.from.empty() && token->compare(0, step.from.size(), step.from) == 0) {
          token->erase(0, step.from.size());
        } else {
          token->insert(0, " ");
        }
      }
      if (step.flag) {
        for (const auto& [from, to] : kCleanup) replace_all(token, from, to);
      }
      return;
    case Kind::bpe_suffix:
      replace_all(token, step.from, " ");
      return;
  }
}

void TextDecoder::append(DecodeState* state, std::string_view token, std::string* text) const {
  const bool first = state->first;
  state->first = false;
  if (joined_by_space_) {
    if (!first) *text += ' ';
    text->append(token);
    return;
  }
  std::string piece(token);
  for (const Step& step : steps_) {
    if (step.kind == Kind::bpe_suffix) {
      // The last token's suffix is dropped, not replaced by a space.
      *text += state->held;
      state->held.clear();
      const bool ends =
          piece.size() >= step.from.size() &&
          piece.compare(piece.size() - step.from.size(), step.from.size(), step.from) == 0;
      if (ends) {
        piece.erase(piece.size() - step.from.size());
        state->held = " ";
      }
    }
    apply(step, first, &piece);
  }
  if (strip_content_.empty()) {
    *text += piece;
    return;
  }
  if (state->at_start) {
    const size_t count = count_leading(piece, strip_content_, strip_left_ - state->stripped);
    piece.erase(0, count * strip_content_.size());
    state->stripped += count;
    if (!piece.empty()) state->at_start = false;
  }
  if (strip_right_ == 0) {
    *text += piece;
    return;
  }
  state->held += piece;
  const size_t keep =
      count_trailing(state->held, strip_content_, strip_right_) * strip_content_.size();
  text->append(state->held, 0, state->held.size() - keep);
  state->held.erase(0, state->held.size() - keep);
}

void TextDecoder::finish(DecodeState* state, std::string*) const {
  // What is still held is what the end drops: a suffix's space, or stripped characters.
  state->held.clear();
}

}  // namespace sumi::text

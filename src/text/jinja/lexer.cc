#include "text/jinja/lexer.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {
namespace {

// \r\n and \r become \n; one newline at the end is dropped (keep_trailing_newline is off).
std::string normalize_newlines(const std::string& source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(const std::string& source, const std::string& name)
      : source_(normalize_newlines(source)), name_(name) {}

  std::vector<Token> run() {
    while (position_ < source_.size()) text_and_tag();
    push(TokenType::end, "");
    return std::move(tokens_);
  }

 private:
  template <class... Args>
  [[noreturn]] void error(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}, line {}: {}", name_, line_, fmt::format(format, std::forward<Args>(args)...));
  }
  bool at(std::string_view text, size_t position) const {
    return std::string_view(source_).substr(std::min(position, source_.size()), text.size()) ==
           text;
  }
  bool at(std::string_view text) const { return at(text, position_); }

  void push(TokenType type, std::string text) {
    Token token;
    token.type = type;
    token.line = line_;
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
  }

  // Moves to `end`, counting lines.
  void advance(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(position_),
                                         source_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    position_ = end;
  }
  size_t skip_space(size_t position) const {
    while (position < source_.size()) {
      size_t next = position;
      if (!is_space(next_code_point(source_, next))) break;
      position = next;
    }
    return position;
  }
  void end_tag(size_t end) {
    line_starting_ = source_[end - 1] == '\n';
    advance(end);
  }

  // If `{%- raw -%}` starts at `begin`: the position behind it, else 0.
  size_t raw_begin(size_t begin) const {
    size_t p = begin + 2;
    if (at("-", p) || at("+", p)) ++p;
    p = skip_space(p);
    if (!at("raw", p)) return 0;
    p = skip_space(p + 3);
    if (at("%}", p)) return p + 2;
    return at("-%}", p) ? skip_space(p + 3) : 0;
  }

  // The end of a block or comment tag at `position` (`closing` is "%}" or "#}"): the position
  // behind it, with what trim_blocks or the minus sign takes along, or 0.
  size_t tag_end(std::string_view closing, size_t position) const {
    if (at("+", position) && at(closing, position + 1)) return position + 3;
    if (at("-", position) && at(closing, position + 1)) return skip_space(position + 3);
    if (!at(closing, position)) return 0;
    return at("\n", position + 2) ? position + 3 : position + 2;
  }

  void text_and_tag() {
    size_t begin = position_;
    while (true) {
      begin = source_.find('{', begin);
      if (begin == std::string::npos || begin + 1 >= source_.size()) {
        push(TokenType::data, source_.substr(position_));
        advance(source_.size());
        return;
      }
      const char second = source_[begin + 1];
      if (second == '%' || second == '#' || second == '{') break;
      ++begin;
    }
    const char kind = source_[begin + 1];
    const char sign = begin + 2 < source_.size() ? source_[begin + 2] : '\0';
    emit_text(begin, kind, sign);
    if (kind == '#') {
      comment();
    } else if (kind == '{') {
      push(TokenType::variable_begin, "");
      advance(position_ + (sign == '-' || sign == '+' ? 3 : 2));
      tag(false);
    } else if (const size_t raw = raw_begin(position_)) {
      advance(raw);
      raw_block();
    } else {
      push(TokenType::block_begin, "");
      advance(position_ + (sign == '-' || sign == '+' ? 3 : 2));
      tag(true);
    }
  }

  // The text before a tag at `end`, stripped as the tag's sign and lstrip_blocks ask.
  void emit_text(size_t end, char kind, char sign) {
    std::string_view text = std::string_view(source_).substr(position_, end - position_);
    if (sign == '-') {
      text = strip(text, Side::right);
    } else if (sign != '+' && kind != '{') {
      const size_t newline = text.rfind('\n');
      const size_t start = newline == std::string_view::npos ? 0 : newline + 1;
      if ((start > 0 || line_starting_) && strip(text.substr(start), Side::left).empty()) {
        text = text.substr(0, start);
      }
    }
    if (!text.empty()) push(TokenType::data, std::string(text));
    advance(end);
  }

  void comment() {
    for (size_t p = position_ + 2; p < source_.size(); ++p) {
      if (source_[p] != '#' && source_[p] != '-' && source_[p] != '+') continue;
      if (const size_t end = tag_end("#}", p)) return end_tag(end);
    }
    error("missing end of comment tag");
  }

  void raw_block() {
    for (size_t p = source_.find("{%", position_); p != std::string::npos;
         p = source_.find("{%", p + 2)) {
      size_t q = p + 2;
      const char sign = q < source_.size() ? source_[q] : '\0';
      if (sign == '-' || sign == '+') ++q;
      q = skip_space(q);
      if (!at("endraw", q)) continue;
      const size_t end = tag_end("%}", skip_space(q + 6));
      if (end == 0) continue;
      // After the opening tag a line starts only if that tag swallowed a newline.
      line_starting_ = source_[position_ - 1] == '\n';
      emit_text(p, '%', sign);
      return end_tag(end);
    }
    error("missing end of raw directive");
  }

  // Tokens up to the end of a block (`{% %}`) or variable (`{{ }}`) tag.
  void tag(bool block) {
    std::string brackets;  // the closing ones expected
    while (true) {
      position_ >= source_.size() ? void() : advance(skip_space(position_));
      if (position_ >= source_.size()) return;  // the parser sees the missing end
      if (brackets.empty()) {
        if (block) {
          if (const size_t end = tag_end("%}", position_)) {
            push(TokenType::block_end, "");
            return end_tag(end);
          }
        } else if (at("}}") || at("-}}")) {
          const bool minus = at("-}}");
          push(TokenType::variable_end, "");
          return end_tag(minus ? skip_space(position_ + 3) : position_ + 2);
        }
      }
      token(brackets);
    }
  }

  void token(std::string& brackets) {
    const char c = source_[position_];
    if (c >= '0' && c <= '9') return number();
    if (c == '\'' || c == '"') return string(c);
    size_t end = position_;
    while (end < source_.size()) {
      size_t next = end;
      if (!is_word(next_code_point(source_, next))) break;
      end = next;
    }
    if (end > position_) {
      push(TokenType::name, source_.substr(position_, end - position_));
      return advance(end);
    }
    static constexpr std::string_view kOperators[] = {
        "**", "//", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view op : kOperators) {
      if (!at(op)) continue;
      if (c == '(' || c == '[' || c == '{') {
        brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
      } else if (c == ')' || c == ']' || c == '}') {
        if (brackets.empty()) error("unexpected '{}'", c);
        if (brackets.back() != c) error("unexpected '{}', expected '{}'", c, brackets.back());
        brackets.pop_back();
      }
      push(TokenType::op, std::string(op));
      return advance(position_ + op.size());
    }
    size_t next = position_;
    next_code_point(source_, next);
    error("unexpected character '{}'", source_.substr(position_, next - position_));
  }

  // Digits, single underscores between them allowed, from `p`; the position behind, or p if none.
  size_t digits(size_t p) const {
    const auto digit = [&](size_t i) {
      return i < source_.size() && source_[i] >= '0' && source_[i] <= '9';
    };
    if (!digit(p)) return p;
    while (digit(p) || (at("_", p) && digit(p + 1))) ++p;
    return p;
  }

  void number() {
    const bool after_dot = position_ > 0 && source_[position_ - 1] == '.';
    size_t end = digits(position_);
    bool floating = false;
    if (!after_dot) {
      size_t p = end;
      if (at(".", p) && digits(p + 1) > p + 1) {
        p = digits(p + 1);
        floating = true;
      }
      if (at("e", p) || at("E", p)) {
        const size_t sign = p + 1 + (at("+", p + 1) || at("-", p + 1) ? 1 : 0);
        if (digits(sign) > sign) {
          p = digits(sign);
          floating = true;
        }
      }
      if (floating) end = p;
    }
    int base = 10;
    size_t begin = position_;
    if (!floating && source_[position_] == '0') {
      const char letter =
          position_ + 1 < source_.size() ? static_cast<char>(source_[position_ + 1] | 0x20) : '\0';
      base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
      if (base != 10) {
        begin = end = position_ + 2;
        while (end < source_.size() && (source_[end] == '_' || is_base_digit(source_[end], base))) {
          ++end;
        }
        if (end == begin) error("a number without digits");
      } else if (std::any_of(source_.begin() + static_cast<ptrdiff_t>(position_),
                             source_.begin() + static_cast<ptrdiff_t>(end),
                             [](char c) { return c != '0' && c != '_'; })) {
        error("a number with leading zeros");
      }
    }
    std::string text = source_.substr(begin, end - begin);
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    push(floating ? TokenType::floating : TokenType::integer, "");
    if (floating) {
      tokens_.back().floating = std::strtod(text.c_str(), nullptr);
    } else {
      const auto result =
          std::from_chars(text.data(), text.data() + text.size(), tokens_.back().integer, base);
      if (result.ec != std::errc() || result.ptr != text.data() + text.size()) {
        error("integer {} does not fit 64 bits", text.substr(0, 40));
      }
    }
    advance(end);
  }

  static bool is_base_digit(char c, int base) {
    const int value = c >= '0' && c <= '9'                     ? c - '0'
                      : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                               : 99;
    return value < base;
  }

  void string(char quote) {
    std::string out;
    size_t p = position_ + 1;
    while (true) {
      if (p >= source_.size()) error("a string without end");
      const char c = source_[p];
      if (c == quote) break;
      if (c != '\\') {
        out += c;
        ++p;
        continue;
      }
      if (p + 1 >= source_.size()) error("a string without end");
      p = escape(p + 1, out);
    }
    push(TokenType::string, std::move(out));
    advance(p + 1);
  }

  // The escape whose letter is at p; returns the position behind it.
  size_t escape(size_t p, std::string& out) const {
    const char c = source_[p];
    static constexpr std::string_view kLetters = "abfnrtv\\'\"", kValues = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t k = kLetters.find(c); k != std::string_view::npos) {
      out += kValues[k];
      return p + 1;
    }
    if (c == '\n') return p + 1;
    const size_t count = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    char32_t value = 0;
    if (count > 0) {
      for (size_t i = 1; i <= count; ++i) {
        if (p + i >= source_.size() || !is_base_digit(source_[p + i], 16)) {
          error("\\{} needs {} hexadecimal digits", c, count);
        }
        const char d = source_[p + i];
        value = value * 16 + static_cast<char32_t>(d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10);
      }
      if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
        error("\\{} names no character", source_.substr(p, count + 1));
      }
      append_code_point(out, value);
      return p + count + 1;
    }
    if (c >= '0' && c <= '7') {
      size_t end = p;
      while (end < p + 3 && end < source_.size() && source_[end] >= '0' && source_[end] <= '7') {
        value = value * 8 + static_cast<char32_t>(source_[end++] - '0');
      }
      append_code_point(out, value);
      return end;
    }
    if (c == 'N') error("unsupported escape \\N");
    out += '\\';  // unknown escapes stay, as in Python
    if (static_cast<unsigned char>(c) < 0x80) {
      out += c;
      return p + 1;
    }
    // Jinja2 turns non-ASCII text into escapes before it reads escapes, so this one shows.
    const auto v = static_cast<unsigned>(next_code_point(source_, p));
    out += v < 0x100     ? fmt::format("x{:02x}", v)
           : v < 0x10000 ? fmt::format("u{:04x}", v)
                         : fmt::format("U{:08x}", v);
    return p;
  }

  const std::string source_;
  const std::string& name_;
  std::vector<Token> tokens_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the last tag took the newline behind it
};

}  // namespace

std::vector<Token> tokenize(const std::string& source, const std::string& name) {
  return Lexer(source, name).run();
}

}  // namespace sumi::text::jinja

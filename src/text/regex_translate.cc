// From Oniguruma's dialect (syntax Ruby, encoding UTF-8) to PCRE2's.
#include <algorithm>
#include <array>
#include <cctype>

#include "base/error.h"
#include "text/regex.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

constexpr const char* kSpace =
    "\\x09-\\x0d\\x20\\x{85}\\p{Z}";  // White_Space; PCRE2's own adds U+180E
constexpr const char* kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
constexpr const char* kHex = "0-9a-fA-F";

struct PropertyName {
  const char* name;   // as property_key gives it
  const char* items;  // for a PCRE2 class
};
constexpr std::array kProperties = {
    PropertyName{"letter", "\\p{L}"},
    PropertyName{"uppercaseletter", "\\p{Lu}"},
    PropertyName{"lowercaseletter", "\\p{Ll}"},
    PropertyName{"titlecaseletter", "\\p{Lt}"},
    PropertyName{"modifierletter", "\\p{Lm}"},
    PropertyName{"otherletter", "\\p{Lo}"},
    PropertyName{"mark", "\\p{M}"},
    PropertyName{"nonspacingmark", "\\p{Mn}"},
    PropertyName{"spacingmark", "\\p{Mc}"},
    PropertyName{"enclosingmark", "\\p{Me}"},
    PropertyName{"number", "\\p{N}"},
    PropertyName{"decimalnumber", "\\p{Nd}"},
    PropertyName{"letternumber", "\\p{Nl}"},
    PropertyName{"othernumber", "\\p{No}"},
    PropertyName{"punctuation", "\\p{P}"},
    PropertyName{"connectorpunctuation", "\\p{Pc}"},
    PropertyName{"dashpunctuation", "\\p{Pd}"},
    PropertyName{"openpunctuation", "\\p{Ps}"},
    PropertyName{"closepunctuation", "\\p{Pe}"},
    PropertyName{"otherpunctuation", "\\p{Po}"},
    PropertyName{"symbol", "\\p{S}"},
    PropertyName{"mathsymbol", "\\p{Sm}"},
    PropertyName{"currencysymbol", "\\p{Sc}"},
    PropertyName{"modifiersymbol", "\\p{Sk}"},
    PropertyName{"othersymbol", "\\p{So}"},
    PropertyName{"separator", "\\p{Z}"},
    PropertyName{"spaceseparator", "\\p{Zs}"},
    PropertyName{"other", "\\p{C}"},
    PropertyName{"control", "\\p{Cc}"},
    PropertyName{"format", "\\p{Cf}"},
    PropertyName{"alpha", "\\p{Alphabetic}"},
    PropertyName{"alnum", "\\p{Alphabetic}\\p{Nd}"},
    PropertyName{"digit", "\\p{Nd}"},
    PropertyName{"space", kSpace},
    PropertyName{"whitespace", kSpace},
    PropertyName{"upper", "\\p{Uppercase}"},
    PropertyName{"lower", "\\p{Lowercase}"},
    PropertyName{"punct", "\\p{P}$+<=>^`|~"},
    PropertyName{"word", kWord},
    PropertyName{"xdigit", kHex},
};

// Names that PCRE2 reads as scripts with their extensions; Oniguruma means the script alone.
constexpr std::array kScripts = {
    "arabic",    "armenian",  "bengali",  "bopomofo", "common", "cyrillic", "devanagari",
    "georgian",  "greek",     "gujarati", "gurmukhi", "han",    "hangul",   "hebrew",
    "hiragana",  "inherited", "kannada",  "katakana", "khmer",  "lao",      "latin",
    "malayalam", "mongolian", "myanmar",  "sinhala",  "tamil",  "telugu",   "thai",
    "tibetan",   "ethiopic",  "cherokee", "oriya"};

// Lower case, without spaces, hyphens and underscores.
std::string property_key(std::string_view name) {
  std::string key;
  for (const char letter : name) {
    if (letter == '_' || letter == '-' || letter == ' ') continue;
    key += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  return key;
}

// What PCRE2 spells another way, for a PCRE2 class; "" for other names.
std::string property_items(std::string_view name) {
  const std::string key = property_key(name);
  for (const PropertyName& property : kProperties) {
    if (key == property.name) return property.items;
  }
  return "";
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) item();
    return std::move(out_);
  }

 private:
  [[noreturn]] void wrong(const char* what) const {
    fail("{}: regular expression {}: {}", where_, in_, what);
  }
  bool next_is(std::string_view text) const { return in_.substr(at_, text.size()) == text; }
  void atom(const std::string& text) {
    atom_ = out_.size();
    out_ += text;
  }

  void item() {
    const char c = in_[at_];
    if (c == '\\') {
      escape_outside();
    } else if (c == '[') {
      ++at_;
      atom(char_class(0));
    } else if (c == '(') {
      open_group();
    } else if (c == ')') {
      out_ += c;
      ++at_;
      if (groups_.empty()) wrong("unmatched )");
      atom_ = groups_.back();
      groups_.pop_back();
    } else if (c == '{' && interval()) {
    } else if (c == '*' || c == '+' || c == '?') {
      out_ += c;
      ++at_;
      if (at_ < in_.size() && (in_[at_] == '+' || in_[at_] == '?')) out_ += in_[at_++];
    } else {
      const size_t length = std::min(utf8_length(c), in_.size() - at_);
      atom(std::string(in_.substr(at_, length)));
      at_ += length;
    }
  }

  void open_group() {
    groups_.push_back(out_.size());
    out_ += '(';
    ++at_;
    if (!next_is("?")) return;
    size_t end = at_ + 1;
    while (end < in_.size() && std::string_view("imx-").find(in_[end]) != std::string_view::npos)
      ++end;
    if (end == at_ + 1 || end >= in_.size() || (in_[end] != ':' && in_[end] != ')')) {
      out_ += '?';
      ++at_;
      if (next_is("<") || next_is("=") || next_is("!") || next_is(">") || next_is(":")) {
        out_ += in_[at_++];
        if (next_is("=") || next_is("!")) out_ += in_[at_++];
      }
      return;
    }
    // Ruby's m is PCRE2's s: the dot matches a newline too.
    for (; at_ < end; ++at_) out_ += in_[at_] == 'm' ? 's' : in_[at_];
    out_ += in_[at_];
    if (in_[at_++] == ')') groups_.pop_back();
  }

  // {n}, {n,}, {n,m}, {,m}. Ruby reads X{n,m}+ as (?:X{n,m})+; PCRE2 as possessive.
  bool interval() {
    size_t end = at_ + 1;
    while (end < in_.size() &&
           (std::isdigit(static_cast<unsigned char>(in_[end])) || in_[end] == ','))
      ++end;
    if (end >= in_.size() || in_[end] != '}' || end == at_ + 1) return false;
    std::string body(in_.substr(at_ + 1, end - at_ - 1));
    if (body == ",") return false;
    if (body[0] == ',') body = "0" + body;
    out_ += "{" + body + "}";
    at_ = end + 1;
    if (next_is("?")) {
      out_ += '?';
      ++at_;
    } else if (next_is("+")) {
      ++at_;
      if (atom_ > out_.size()) wrong("nothing to repeat");
      out_.insert(atom_, "(?:");
      out_ += ")+";
    }
    return true;
  }

  // The text of an escape that stands for one fixed character, from the backslash on; "" for
  // others.
  std::string fixed_escape() {
    const char c = in_[at_ + 1];
    if (c == 'u') {
      const std::string_view digits = in_.substr(at_ + 2, 4);
      if (digits.size() != 4) wrong("\\u needs four hexadecimal digits");
      at_ += 6;
      return "\\x{" + std::string(digits) + "}";
    }
    if (c == 'x') {
      size_t end = at_ + 2;
      if (end < in_.size() && in_[end] == '{') {
        end = in_.find('}', end);
        if (end == std::string_view::npos) wrong("\\x{ without }");
        ++end;
      } else {
        while (end < std::min(in_.size(), at_ + 4) &&
               std::isxdigit(static_cast<unsigned char>(in_[end])))
          ++end;
      }
      const std::string text(in_.substr(at_, end - at_));
      at_ = end;
      return text;
    }
    return "";
  }

  struct Set {
    std::string items;  // for a PCRE2 class
    bool negated;
  };

  // \s \w \d \h \p and their opposites; false if the escape at at_ is none of these.
  bool set_escape(Set* set) {
    const char c = in_[at_ + 1];
    const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    set->negated = c != lower;
    if (lower == 's' || lower == 'w' || lower == 'd' || lower == 'h') {
      set->items = lower == 's' ? kSpace : lower == 'w' ? kWord : lower == 'd' ? "\\p{Nd}" : kHex;
      at_ += 2;
      return true;
    }
    if (lower != 'p') return false;
    std::string name;
    if (at_ + 2 < in_.size() && in_[at_ + 2] == '{') {
      const size_t end = in_.find('}', at_ + 3);
      if (end == std::string_view::npos) wrong("\\p{ without }");
      name = in_.substr(at_ + 3, end - at_ - 3);
      at_ = end + 1;
    } else if (at_ + 2 < in_.size()) {
      name = in_.substr(at_ + 2, 1);
      at_ += 3;
    } else {
      wrong("\\p without a name");
    }
    if (!name.empty() && name[0] == '^') {
      set->negated = !set->negated;
      name.erase(0, 1);
    }
    const std::string key = property_key(name), known = property_items(name);
    set->items = known.empty() ? "\\p{" + name + "}" : known;
    for (const char* script : kScripts) {
      if (key == script) set->items = "\\p{sc:" + name + "}";
    }
    return true;
  }

  void escape_outside() {
    if (at_ + 1 >= in_.size()) wrong("a backslash ends it");
    const std::string fixed = fixed_escape();
    Set set;
    if (!fixed.empty()) {
      atom(fixed);
    } else if (set_escape(&set)) {
      atom((set.negated ? "[^" : "[") + set.items + "]");
    } else if (in_[at_ + 1] == 'b' || in_[at_ + 1] == 'B') {
      const std::string word = std::string("[") + kWord + "]";
      const bool edge = in_[at_ + 1] == 'b';
      atom(edge ? "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))"
                : "(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))");
      at_ += 2;
    } else {
      const size_t length = std::min(1 + utf8_length(in_[at_ + 1]), in_.size() - at_);
      atom(std::string(in_.substr(at_, length)));
      at_ += length;
    }
  }

  // After "[": the class as one PCRE2 atom. Unions with what PCRE2 has no notation for become
  // alternatives, intersections become lookaheads.
  std::string char_class(int depth) {
    if (depth > 20) wrong("classes nested too deep");
    const bool negated = next_is("^");
    if (negated) ++at_;
    std::string items;
    std::vector<std::string> others, operands;
    const auto close_operand = [&] {
      std::string positive = items.empty() ? "" : "[" + items + "]";
      for (const std::string& other : others) positive += (positive.empty() ? "" : "|") + other;
      if (positive.empty()) wrong("an empty class");
      operands.push_back(others.empty() ? positive : "(?:" + positive + ")");
      items.clear();
      others.clear();
    };
    for (bool first = true;; first = false) {
      if (at_ >= in_.size()) wrong("[ without ]");
      const char c = in_[at_];
      if (c == ']' && !first) {
        ++at_;
        break;
      }
      if (next_is("&&")) {
        at_ += 2;
        close_operand();
      } else if (next_is("[:")) {
        const size_t end = in_.find(":]", at_);
        if (end == std::string_view::npos) wrong("[: without :]");
        const bool opposite = in_[at_ + 2] == '^';
        const size_t begin = at_ + (opposite ? 3 : 2);
        const std::string name(in_.substr(begin, std::max(end, begin) - begin));
        const std::string known = property_items(name);
        if (known.empty()) {  // [:graph:] and the like mean the same in PCRE2
          items += in_.substr(at_, end + 2 - at_);
        } else if (opposite) {
          others.push_back("[^" + known + "]");
        } else {
          items += known;
        }
        at_ = end + 2;
      } else if (c == '[') {
        ++at_;
        others.push_back(char_class(depth + 1));
      } else if (c == '\\') {
        if (at_ + 1 >= in_.size()) wrong("a backslash ends it");
        const std::string fixed = fixed_escape();
        Set set;
        if (!fixed.empty()) {
          items += fixed;
        } else if (set_escape(&set)) {
          if (set.negated) {
            others.push_back("[^" + set.items + "]");
          } else {
            items += set.items;
          }
        } else {
          const size_t length = std::min(1 + utf8_length(in_[at_ + 1]), in_.size() - at_);
          items += in_.substr(at_, length);
          at_ += length;
        }
      } else {
        const size_t length = std::min(utf8_length(c), in_.size() - at_);
        if (c == ']' || (c == '^' && items.empty())) items += '\\';
        items += in_.substr(at_, length);
        at_ += length;
      }
    }
    if (operands.empty() && others.empty()) {
      if (items.empty()) wrong("an empty class");
      return (negated ? "[^" : "[") + items + "]";
    }
    close_operand();
    std::string positive;
    for (size_t i = 0; i + 1 < operands.size(); ++i) positive += "(?=" + operands[i] + ")";
    positive += operands.back();
    return negated ? "(?:(?!" + positive + ")(?s:.))" : "(?:" + positive + ")";
  }

  std::string_view in_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = std::string::npos;  // where the last atom starts in out_
  std::vector<size_t> groups_;       // where the open groups start in out_
};

}  // namespace

std::string translate_regex(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace sumi::text

// The methods of str.
#include <algorithm>
#include <array>
#include <cstring>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {
namespace {

constexpr std::array<std::string_view, 47> kMethods = {
    "capitalize",   "casefold",    "center",    "count",      "encode",       "endswith",
    "expandtabs",   "find",        "format",    "format_map", "index",        "isalnum",
    "isalpha",      "isascii",     "isdecimal", "isdigit",    "isidentifier", "islower",
    "isnumeric",    "isprintable", "isspace",   "istitle",    "isupper",      "join",
    "ljust",        "lower",       "lstrip",    "maketrans",  "partition",    "removeprefix",
    "removesuffix", "replace",     "rfind",     "rindex",     "rjust",        "rpartition",
    "rsplit",       "rstrip",      "split",     "splitlines", "startswith",   "strip",
    "swapcase",     "title",       "translate", "upper",      "zfill"};

size_t find_bytes(Budget& budget, std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string::npos;
  budget.charge(text.size() - from);
  const void* at = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return at == nullptr ? std::string::npos
                       : static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

// Last match that ends at or before `end`.
size_t rfind_bytes(Budget& budget, std::string_view text, std::string_view part, size_t end) {
  if (part.size() > end) return std::string::npos;
  size_t tried = 0;
  for (size_t at = end - part.size() + 1; at-- > 0;) {
    if (++tried % 64 == 0) budget.charge(64 + part.size());
    if (std::memcmp(text.data() + at, part.data(), part.size()) == 0) return at;
  }
  return std::string::npos;
}

class StringMethod {
 public:
  StringMethod(Interpreter& in, const Value& self, const std::string& name, Args& args)
      : in_(in), budget_(in.budget), self_(self), text_(self.text()), name_(name), args_(args) {
    budget_.charge(text_.size());
  }

  Value run() {
    if (!args_.named.empty() && name_ != "format" && !name_.starts_with("split") &&
        name_ != "rsplit") {
      fail("{}() takes no keyword arguments", name_);
    }
    if (name_.starts_with("is")) return is();
    if (name_.ends_with("strip")) return strip_ends();
    if (name_ == "split" || name_ == "rsplit") return split(name_ == "rsplit");
    if (name_ == "splitlines") return splitlines();
    if (name_ == "partition" || name_ == "rpartition") return partition();
    if (name_ == "startswith" || name_ == "endswith") return affix();
    if (name_ == "find" || name_ == "rfind" || name_ == "index" || name_ == "rindex") return find();
    if (name_ == "count") return count();
    if (name_ == "replace") return replace();
    if (name_ == "join") return join();
    if (name_ == "format") return brace_format(in_, self_, args_);
    if (name_.starts_with("remove")) return remove();
    if (name_ == "center" || name_ == "ljust" || name_ == "rjust") return pad();
    if (name_ == "zfill") return zfill();
    if (name_ == "encode" || name_ == "expandtabs" || name_ == "format_map" ||
        name_ == "maketrans" || name_ == "translate") {
      fail("unsupported method '{}' of str", name_);
    }
    const Bound b(name_, args_, {});
    if (name_ == "upper") return make(to_upper(text_));
    if (name_ == "lower") return make(to_lower(text_));
    if (name_ == "title") return make(title_case(text_));
    if (name_ == "capitalize") return make(capitalize(text_));
    if (name_ == "swapcase") return make(swap_case(text_));
    if (name_ == "casefold") {
      if (!is_ascii(text_)) fail("unsupported: casefold of non-ASCII text");
      return make(to_lower(text_));
    }
    fail("unsupported method '{}' of str", name_);
  }

 private:
  Value make(std::string text) { return make_string(budget_, std::move(text), self_.str().markup); }
  Value make(std::string_view text) { return make(std::string(text)); }

  Value is() {
    const Bound b(name_, args_, {});
    const auto all = [&](bool (*test)(char32_t)) {
      if (text_.empty()) return false;
      for (size_t i = 0; i < text_.size();) {
        if (!test(next_code_point(text_, i))) return false;
      }
      return true;
    };
    if (name_ == "isascii") return Value(self_.str().ascii);
    if (name_ == "isspace") return Value(all(is_space));
    if (name_ == "isalpha") return Value(all(is_alpha));
    if (name_ == "isdigit") return Value(all(is_digit));
    if (name_ == "isdecimal") return Value(all(is_decimal));
    if (name_ == "isnumeric") return Value(all(is_numeric));
    if (name_ == "isprintable") return Value(text_.empty() || all(is_printable));
    if (name_ == "isalnum") {
      return Value(all([](char32_t c) { return is_alpha(c) || is_numeric(c); }));
    }
    if (name_ == "isidentifier") {
      return Value(all(is_word) && !(text_[0] >= '0' && text_[0] <= '9'));
    }
    bool cased = false, previous = false, title = true, lower = true, upper = true;
    for (size_t i = 0; i < text_.size();) {
      const char32_t c = next_code_point(text_, i);
      const bool u = is_upper(c) || is_title(c), l = is_lower(c);
      if (u) lower = false;
      if (l || is_title(c)) upper = false;
      if (u ? previous : l && !previous) title = false;
      previous = u || l;
      cased |= u || l;
    }
    return Value(cased && (name_ == "islower" ? lower : name_ == "isupper" ? upper : title));
  }

  Value strip_ends() {
    const Bound b(name_, args_, {"chars"});
    const Side side = name_ == "lstrip" ? Side::left : name_ == "rstrip" ? Side::right : Side::both;
    if (!b.has_value(0)) return make(strip(text_, side));
    const std::string_view chars = b.text(0);
    budget_.check_size(chars.size() / 16);
    budget_.charge(std::min<size_t>(text_.size(), 4096) * chars.size());
    const std::string_view result = strip(text_, side, &chars);
    budget_.charge((text_.size() - result.size()) / 4096 * chars.size());
    return make(result);
  }

  Value list(std::vector<Value> items) {
    return make_sequence(budget_, SequenceKind::list, std::move(items));
  }

  Value split(bool right) {
    const Bound b(name_, args_, {"sep", "maxsplit"});
    const int64_t most = b.integer(1, -1);
    const auto limit = most < 0 ? SIZE_MAX : static_cast<size_t>(most);
    std::vector<Value> parts;
    if (b.has_value(0)) {
      const std::string& separator = b.text(0);
      if (separator.empty()) fail("{}: empty separator", name_);
      size_t end = text_.size(), begin = 0;
      while (parts.size() < limit) {
        const size_t at =
            right ? rfind_bytes(budget_, text_, separator, end) : find_bytes_once(separator, begin);
        if (at == std::string::npos) break;
        const size_t behind = at + separator.size();
        parts.push_back(right ? make(text_.substr(behind, end - behind))
                              : make(text_.substr(begin, at - begin)));
        (right ? end : begin) = right ? at : behind;
      }
      parts.push_back(make(text_.substr(begin, end - begin)));
    } else {
      std::string_view rest = strip(text_, right ? Side::right : Side::left);
      while (!rest.empty()) {
        if (parts.size() >= limit) {
          parts.push_back(make(strip(rest, right ? Side::right : Side::left)));
          break;
        }
        size_t at = right ? rest.size() : 0;
        while (right ? at > 0 : at < rest.size()) {
          size_t next = at;
          if (is_space(right ? previous_code_point(rest, next) : next_code_point(rest, next)))
            break;
          at = next;
        }
        parts.push_back(make(right ? rest.substr(at) : rest.substr(0, at)));
        rest = right ? strip(rest.substr(0, at), Side::right) : strip(rest.substr(at), Side::left);
      }
    }
    if (right) std::reverse(parts.begin(), parts.end());
    return list(std::move(parts));
  }

  // find_bytes, charged for the bytes passed over only.
  size_t find_bytes_once(std::string_view part, size_t from) {
    const std::string_view tail = std::string_view(text_).substr(from);
    const void* at = memmem(tail.data(), tail.size(), part.data(), part.size());
    return at == nullptr ? std::string::npos
                         : static_cast<size_t>(static_cast<const char*>(at) - text_.data());
  }

  Value splitlines() {
    const Bound b(name_, args_, {"keepends"});
    std::vector<Value> lines;
    for (size_t i = 0, begin = 0; i < text_.size();) {
      const size_t at = i;
      const char32_t c = next_code_point(text_, i);
      const bool line_break = is_line_break(c);
      if (c == '\r' && i < text_.size() && text_[i] == '\n') ++i;
      if (!line_break && i < text_.size()) continue;
      const size_t end = !line_break || b.flag(0) ? i : at;
      lines.push_back(make(text_.substr(begin, end - begin)));
      begin = i;
    }
    return list(std::move(lines));
  }

  Value partition() {
    const Bound b(name_, args_, {"sep"}, 1);
    const std::string& separator = b.text(0);
    if (separator.empty()) fail("{}: empty separator", name_);
    const bool right = name_ == "rpartition";
    const size_t at = right ? rfind_bytes(budget_, text_, separator, text_.size())
                            : find_bytes(budget_, text_, separator, 0);
    if (at == std::string::npos) {
      const Value empty = make(std::string());
      std::vector<Value> parts = {right ? empty : self_, empty, right ? self_ : empty};
      return make_sequence(budget_, SequenceKind::tuple, std::move(parts));
    }
    return make_sequence(
        budget_, SequenceKind::tuple,
        {make(text_.substr(0, at)), make(separator), make(text_.substr(at + separator.size()))});
  }

  // Byte range of code points [start, stop) as Python's optional arguments i and i + 1 give it;
  // false if empty because start lies behind the end.
  bool window(const Bound& b, size_t i, size_t& begin, size_t& end) {
    begin = 0;
    end = text_.size();
    if (!b.has_value(i) && !b.has_value(i + 1)) return true;
    const int64_t size = length(budget_, self_);
    const auto from = [&](size_t k, int64_t otherwise) {
      int64_t v = b.has_value(k) ? b.integer(k) : otherwise;
      return v < 0 ? std::max<int64_t>(v + size, 0) : v;
    };
    const int64_t start = from(i, 0), stop = std::min(from(i + 1, size), size);
    if (start > size) return false;
    begin = byte_offset(text_, static_cast<size_t>(start));
    end = byte_offset(text_, static_cast<size_t>(stop));
    return begin <= end;
  }

  Value affix() {
    const Bound b(name_, args_, {"prefix", "start", "end"}, 1);
    size_t begin, end;
    if (!window(b, 1, begin, end)) return Value(false);
    const std::string_view part = std::string_view(text_).substr(begin, end - begin);
    const auto test = [&](const Value& affix) {
      if (!affix.is_string()) {
        fail("{}: expected a string or a tuple of strings, found {}", name_, type_name(affix));
      }
      return name_ == "startswith" ? part.starts_with(affix.text()) : part.ends_with(affix.text());
    };
    const Sequence* several = b[0].sequence();
    if (several == nullptr || several->kind != SequenceKind::tuple) return Value(test(b[0]));
    for (const Value& affix : several->items) {
      budget_.step();
      if (test(affix)) return Value(true);
    }
    return Value(false);
  }

  Value find() {
    const Bound b(name_, args_, {"sub", "start", "end"}, 1);
    const bool right = name_[0] == 'r';
    size_t begin, end, at = std::string::npos;
    const std::string& part = b.text(0);
    if (window(b, 1, begin, end)) {
      const std::string_view text = std::string_view(text_).substr(0, end);
      at = right ? rfind_bytes(budget_, text, part, end) : find_bytes(budget_, text, part, begin);
      if (at != std::string::npos && at < begin) at = std::string::npos;
    }
    if (at != std::string::npos) {
      return Value(static_cast<int64_t>(count_code_points(std::string_view(text_).substr(0, at))));
    }
    if (name_.ends_with("index")) fail("substring not found");
    return Value(int64_t{-1});
  }

  Value count() {
    const Bound b(name_, args_, {"sub", "start", "end"}, 1);
    size_t begin, end;
    const std::string& part = b.text(0);
    if (!window(b, 1, begin, end)) return Value(int64_t{0});
    const std::string_view text = std::string_view(text_).substr(begin, end - begin);
    if (part.empty()) return Value(static_cast<int64_t>(count_code_points(text)) + 1);
    int64_t n = 0;
    for (size_t p = 0;;) {
      const void* at = memmem(text.data() + p, text.size() - p, part.data(), part.size());
      if (at == nullptr) return Value(n);
      p = static_cast<size_t>(static_cast<const char*>(at) - text.data()) + part.size();
      ++n;
    }
  }

  Value replace() {
    const Bound b(name_, args_, {"old", "new", "count"}, 2);
    const std::string& from = b.text(0);
    const std::string to = self_.str().markup ? escape_markup(budget_, b[1]).text() : b.text(1);
    int64_t left = b.integer(2, -1);
    std::string out;
    size_t begin = 0;
    if (from.empty()) {
      // Before each code point and at the end.
      while (left != 0) {
        out += to;
        --left;
        if (begin >= text_.size()) break;
        const size_t start = begin;
        next_code_point(text_, begin);
        out.append(text_, start, begin - start);
        budget_.check_size(out.size());
      }
    } else {
      while (left != 0) {
        const size_t at = find_bytes_once(from, begin);
        if (at == std::string::npos) break;
        out.append(text_, begin, at - begin).append(to);
        budget_.check_size(out.size());
        begin = at + from.size();
        --left;
      }
    }
    out.append(text_, begin, std::string::npos);
    return make(std::move(out));
  }

  Value join() {
    const Bound b(name_, args_, {"iterable"}, 1);
    std::string out;
    bool first = true;
    for (const Value& item : elements(budget_, b[0])) {
      if (!item.is_string()) fail("join: expected strings, found {}", type_name(item));
      if (!first) out += text_;
      first = false;
      out += self_.str().markup ? escape_markup(budget_, item).text() : item.text();
      budget_.check_size(out.size());
    }
    return make(std::move(out));
  }

  Value remove() {
    const Bound b(name_, args_, {"affix"}, 1);
    std::string_view text = text_;
    const std::string& affix = b.text(0);
    if (name_ == "removeprefix" && text.starts_with(affix)) text.remove_prefix(affix.size());
    if (name_ == "removesuffix" && text.ends_with(affix)) text.remove_suffix(affix.size());
    return make(text);
  }

  Value pad() {
    const Bound b(name_, args_, {"width", "fillchar"}, 1);
    const std::string fill = b.has(1) ? b.text(1) : " ";
    if (count_code_points(fill) != 1) fail("{}: the fill must be one character", name_);
    const int64_t width = b.integer(0), size = length(budget_, self_);
    if (width <= size) return self_;
    const auto total = static_cast<uint64_t>(width - size);
    budget_.check_product(fill.size(), total);
    // CPython's centre puts the odd one left when the width is odd.
    const uint64_t left = name_ == "ljust" ? 0
                          : name_ == "rjust"
                              ? total
                              : total / 2 + (total & static_cast<uint64_t>(width) & 1);
    std::string out;
    for (uint64_t i = 0; i < left; ++i) out += fill;
    out += text_;
    for (uint64_t i = left; i < total; ++i) out += fill;
    return make(std::move(out));
  }

  Value zfill() {
    const Bound b(name_, args_, {"width"}, 1);
    const int64_t width = b.integer(0), size = length(budget_, self_);
    if (width <= size) return self_;
    budget_.check_size(static_cast<size_t>(width));
    const size_t sign = !text_.empty() && (text_[0] == '-' || text_[0] == '+') ? 1 : 0;
    std::string out = text_.substr(0, sign);
    out.append(static_cast<size_t>(width - size), '0');
    return make(out + text_.substr(sign));
  }

  Interpreter& in_;
  Budget& budget_;
  const Value& self_;
  const std::string& text_;
  const std::string& name_;
  Args& args_;
};

}  // namespace

bool is_string_method(std::string_view name) {
  return std::find(kMethods.begin(), kMethods.end(), name) != kMethods.end();
}

Value call_string_method(Interpreter& in, const Value& self, const std::string& name, Args args) {
  return StringMethod(in, self, name, args).run();
}

}  // namespace sumi::text::jinja

// str % values and str.format.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {
namespace {

// The parts of a format specification, common to both kinds.
struct Spec {
  std::string fill = " ";
  char align = 0;  // < > ^ =
  char sign = '-';
  bool alternate = false, grouped = false;
  int64_t width = 0, precision = -1;
  char type = 0;
};

std::string pad(Budget& budget, const Spec& spec, std::string text, char align, size_t sign_bytes) {
  const auto size = static_cast<int64_t>(count_code_points(text));
  if (spec.width <= size) return text;
  const auto total = static_cast<uint64_t>(spec.width - size);
  budget.check_product(spec.fill.size(), total);
  budget.charge(total * spec.fill.size());
  const auto repeat = [&](uint64_t count) {
    std::string out;
    for (uint64_t i = 0; i < count; ++i) out += spec.fill;
    return out;
  };
  switch (align) {
    case '<':
      return text + repeat(total);
    case '^':
      return repeat(total / 2) + text + repeat(total - total / 2);
    case '=':
      return text.substr(0, sign_bytes) + repeat(total) + text.substr(sign_bytes);
    default:
      return repeat(total) + text;
  }
}

std::string group_thousands(const std::string& digits) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string integer_digits(uint64_t value, char type, bool alternate) {
  switch (type) {
    case 'x':
      return fmt::format(fmt::runtime(alternate ? "{:#x}" : "{:x}"), value);
    case 'X':
      return fmt::format(fmt::runtime(alternate ? "{:#X}" : "{:X}"), value);
    case 'o':
      return alternate ? fmt::format("0o{:o}", value) : fmt::format("{:o}", value);
    case 'b':
      return fmt::format(fmt::runtime(alternate ? "{:#b}" : "{:b}"), value);
    default:
      return std::to_string(value);
  }
}

std::string float_digits(double value, const Spec& spec) {
  const int64_t precision = spec.precision < 0 ? 6 : spec.precision;
  if (precision > 1000) fail("format: precision {} is larger than 1000", precision);
  char type = spec.type;
  if (std::isnan(value)) return type == 'F' || type == 'E' || type == 'G' ? "NAN" : "nan";
  if (std::isinf(value)) return type == 'F' || type == 'E' || type == 'G' ? "INF" : "inf";
  if (type == '%') {
    value *= 100;
    type = 'f';
  }
  if (type == 0) return float_repr(value);
  const char format[] = {'%',
                         spec.alternate ? '#' : '.',
                         spec.alternate ? '.' : '*',
                         spec.alternate ? '*' : type,
                         spec.alternate ? type : '\0',
                         '\0'};
  std::string out(1400, '\0');
  const int size =
      std::snprintf(out.data(), out.size(), format, static_cast<int>(precision), value);
  out.resize(static_cast<size_t>(size));
  return spec.type == '%' ? out + "%" : out;
}

std::string format_number(Budget& budget, const Value& value, const Spec& spec, char align) {
  std::string digits;
  bool negative;
  const bool as_float =
      value.is<double>() ||
      (spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos);
  if (as_float) {
    const double d = value.number();
    negative = std::signbit(d) && !std::isnan(d);
    digits = float_digits(std::abs(d), spec);
  } else {
    const int64_t i = value.integer();
    negative = i < 0;
    digits = integer_digits(negative ? 0 - static_cast<uint64_t>(i) : static_cast<uint64_t>(i),
                            spec.type, spec.alternate);
    if (!spec.grouped && spec.precision >= 0 &&
        static_cast<int64_t>(digits.size()) < spec.precision) {
      budget.check_size(static_cast<size_t>(spec.precision));
      digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
    }
  }
  if (spec.grouped) {
    const size_t whole = std::min(digits.size(), digits.find_first_not_of("0123456789"));
    digits = group_thousands(digits.substr(0, whole)) + digits.substr(whole);
  }
  const std::string sign = negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
  return pad(budget, spec, sign + digits, align, sign.size());
}

class Percent {
 public:
  Percent(Interpreter& in, const std::string& format, const Value& argument)
      : in_(in), budget_(in.budget), format_(format), argument_(argument) {
    const Sequence* s = argument.sequence();
    if (s != nullptr && (s->kind == SequenceKind::tuple || s->kind == SequenceKind::group)) {
      tuple_ = s;
    }
  }

  std::string run() {
    std::string out;
    for (size_t i = 0; i < format_.size();) {
      if (format_[i] != '%') {
        const size_t end = std::min(format_.find('%', i), format_.size());
        out.append(format_, i, end - i);
        i = end;
      } else {
        ++i;
        out += conversion(i);
      }
      budget_.check_size(out.size());
    }
    const bool unused = tuple_ != nullptr ? next_ < tuple_->items.size()
                                          : next_ == 0 && argument_.dict() == nullptr &&
                                                !used_key_ && argument_.sequence() == nullptr;
    if (unused) fail("not all arguments converted during string formatting");
    return out;
  }

 private:
  char at(size_t i) const {
    if (i >= format_.size()) fail("incomplete format");
    return format_[i];
  }

  Value take() {
    if (tuple_ != nullptr) {
      if (next_ >= tuple_->items.size()) fail("not enough arguments for format string");
      return tuple_->items[next_++];
    }
    if (next_++ > 0) fail("not enough arguments for format string");
    return argument_;
  }

  int64_t number(size_t& i) {
    if (at(i) == '*') {
      ++i;
      const Value value = take();
      if (!value.is_int()) fail("* wants int");
      return value.integer();
    }
    int64_t value = 0;
    while (at(i) >= '0' && at(i) <= '9') {
      value = value * 10 + (format_[i++] - '0');
      if (value > INT32_MAX) fail("width or precision too big");
    }
    return value;
  }

  std::string conversion(size_t& i) {
    budget_.step();
    Spec spec;
    bool left = false, zero = false, keyed = false;
    Value value;
    if (at(i) == '(') {
      const size_t end = format_.find(')', i);
      if (end == std::string::npos) fail("incomplete format key");
      const Dict* dict = argument_.dict();
      if (dict == nullptr) fail("format requires a mapping");
      const std::string key = format_.substr(i + 1, end - i - 1);
      const Value* found = dict->find(key);
      if (found == nullptr) fail("format: no key '{}'", key);
      value = *found;
      keyed = used_key_ = true;
      i = end + 1;
    }
    for (;; ++i) {
      const char c = at(i);
      if (c == '-')
        left = true;
      else if (c == '0')
        zero = true;
      else if (c == '+')
        spec.sign = '+';
      else if (c == ' ')
        spec.sign = spec.sign == '+' ? '+' : ' ';
      else if (c == '#')
        spec.alternate = true;
      else
        break;
    }
    spec.width = number(i);
    if (spec.width < 0) {
      left = true;
      spec.width = spec.width == INT64_MIN ? INT64_MAX : -spec.width;
    }
    if (at(i) == '.') {
      ++i;
      spec.precision = std::max<int64_t>(number(i), 0);
    }
    while (at(i) == 'l' || at(i) == 'h' || at(i) == 'L') ++i;
    spec.type = at(i++);
    if (spec.type == '%') return "%";
    if (!keyed) value = take();
    const char align = left ? '<' : '>';
    switch (spec.type) {
      case 's':
      case 'r': {
        std::string text;
        if (spec.type == 's') {
          text = to_text(budget_, value);
        } else {
          append_repr(budget_, value, text);
        }
        if (spec.precision >= 0)
          text.resize(byte_offset(text, static_cast<size_t>(spec.precision)));
        return pad(budget_, spec, std::move(text), align, 0);
      }
      case 'c': {
        std::string text;
        if (value.is_int() && value.integer() >= 0 && value.integer() < 0x110000 &&
            (value.integer() < 0xd800 || value.integer() > 0xdfff)) {
          append_code_point(text, static_cast<char32_t>(value.integer()));
        } else if (value.is_string() && length(budget_, value) == 1) {
          text = value.text();
        } else {
          fail("%c requires int or char");
        }
        return pad(budget_, spec, std::move(text), align, 0);
      }
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        if (value.is_undefined()) fail_undefined(value);
        if (value.is<double>() && (spec.type == 'd' || spec.type == 'i' || spec.type == 'u')) {
          value = Value(to_integer(value.get<double>()));
        }
        if (!value.is_int())
          fail("%{} format: a number is required, not {}", spec.type, type_name(value));
        if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (value.is_undefined()) fail_undefined(value);
        if (!value.is_number()) fail("must be real number, not {}", type_name(value));
        break;
      default:
        fail("unsupported format character '{}'", spec.type);
    }
    if (zero && !left) spec.fill = "0";
    return format_number(budget_, value, spec, left ? '<' : zero ? '=' : '>');
  }

  Interpreter& in_;
  Budget& budget_;
  const std::string& format_;
  const Value& argument_;
  const Sequence* tuple_ = nullptr;
  size_t next_ = 0;
  bool used_key_ = false;
};

std::string format_value(Budget& budget, const Value& value, std::string_view text) {
  if (text.empty()) return to_text(budget, value);
  Spec spec;
  size_t i = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  size_t behind = 0;
  next_code_point(text, behind);
  if (behind < text.size() && is_align(text[behind])) {
    spec.fill = std::string(text.substr(0, behind));
    spec.align = text[behind];
    i = behind + 1;
  } else if (is_align(text[0])) {
    spec.align = text[0];
    i = 1;
  }
  const auto at = [&] { return i < text.size() ? text[i] : '\0'; };
  if (at() == '+' || at() == '-' || at() == ' ') spec.sign = text[i++];
  if (at() == '#') {
    spec.alternate = true;
    ++i;
  }
  if (at() == '0') {
    if (spec.align == 0) {
      spec.fill = "0";
      spec.align = value.is_string() ? '<' : '=';
    }
    ++i;
  }
  const auto number = [&] {
    int64_t n = 0;
    while (at() >= '0' && at() <= '9') {
      n = n * 10 + (text[i++] - '0');
      if (n > INT32_MAX) fail("format: too many digits in '{}'", text);
    }
    return n;
  };
  spec.width = number();
  if (at() == ',') {
    spec.grouped = true;
    ++i;
  }
  if (at() == '.') {
    ++i;
    if (!(at() >= '0' && at() <= '9')) fail("format: missing precision in '{}'", text);
    spec.precision = number();
  }
  if (i < text.size()) spec.type = text[i++];
  if (i < text.size()) fail("unsupported format specification '{}'", text);
  if (value.is_string()) {
    if ((spec.type != 0 && spec.type != 's') || spec.align == '=' || spec.grouped ||
        spec.sign != '-' || spec.alternate) {
      fail("unsupported format specification '{}' for a string", text);
    }
    std::string out = value.text();
    if (spec.precision >= 0) out.resize(byte_offset(out, static_cast<size_t>(spec.precision)));
    return pad(budget, spec, std::move(out), spec.align == 0 ? '<' : spec.align, 0);
  }
  if (!value.is_number())
    fail("unsupported format specification '{}' for {}", text, type_name(value));
  const bool real = std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
  const bool whole =
      !value.is<double>() && std::string_view("dxXobn").find(spec.type) != std::string_view::npos;
  if (spec.type != 0 && ((!real && !whole) || spec.type == 'n')) {
    fail("unsupported format specification '{}' for {}", text, type_name(value));
  }
  if (value.is<bool>() && spec.type == 0)
    fail("unsupported format specification '{}' for bool", text);
  if (!value.is<double>() && !real && spec.precision >= 0)
    fail("precision not allowed in integer format");
  if (value.is<double>() && spec.type == 0 && spec.precision >= 0) {
    fail("unsupported format specification '{}' for float", text);
  }
  return format_number(budget, value, spec, spec.align == 0 ? '>' : spec.align);
}

class Brace {
 public:
  Brace(Interpreter& in, const Args& args) : in_(in), budget_(in.budget), args_(args) {}

  std::string run(std::string_view format, int depth) {
    if (depth > 2) fail("format: max string recursion exceeded");
    std::string out;
    for (size_t i = 0; i < format.size();) {
      const char c = format[i++];
      if (c != '{' && c != '}') {
        out += c;
        continue;
      }
      if (i < format.size() && format[i] == c) {
        out += c;
        ++i;
        continue;
      }
      if (c == '}') fail("format: single '}}' encountered");
      const size_t begin = i;
      int open = 1;
      while (i < format.size() && open > 0) {
        open += format[i] == '{' ? 1 : format[i] == '}' ? -1 : 0;
        ++i;
      }
      if (open > 0) fail("format: expected '}}' before the end of the string");
      out += field(format.substr(begin, i - 1 - begin), depth);
      budget_.check_size(out.size());
    }
    return out;
  }

 private:
  std::string field(std::string_view text, int depth) {
    budget_.step();
    budget_.charge(text.size());
    const size_t end = std::min(text.size(), text.find_first_of("!:"));
    const std::string_view name = text.substr(0, end);
    text.remove_prefix(end);
    char conversion = 0;
    if (text.starts_with('!')) {
      if (text.size() < 2) fail("format: missing conversion after '!'");
      conversion = text[1];
      text.remove_prefix(2);
      if (!text.empty() && text[0] != ':') fail("format: expected ':' after the conversion");
    }
    Value value = lookup(name);
    const std::string spec = text.empty() ? "" : run(text.substr(1), depth + 1);
    if (conversion == 'r') {
      std::string out;
      append_repr(budget_, value, out);
      value = make_string(budget_, std::move(out));
    } else if (conversion == 's') {
      value = make_string(budget_, to_text(budget_, value));
    } else if (conversion != 0) {
      fail("unsupported conversion '!{}' in format", conversion);
    }
    return format_value(budget_, value, spec);
  }

  Value lookup(std::string_view name) {
    const size_t end = std::min(name.size(), name.find_first_of(".["));
    Value value = argument(std::string(name.substr(0, end)));
    std::string_view rest = name.substr(end);
    while (!rest.empty()) {
      budget_.step();
      if (rest[0] == '.') {
        const size_t stop = std::min(rest.size(), rest.find_first_of(".[", 1));
        value = in_.get_attribute(value, rest.substr(1, stop - 1));
        rest.remove_prefix(stop);
      } else if (rest[0] == '[') {
        const size_t stop = rest.find(']');
        if (stop == std::string_view::npos || stop == 1)
          fail("format: bad subscript in '{}'", name);
        const std::string key(rest.substr(1, stop - 1));
        const bool digits =
            key.size() < 18 && key.find_first_not_of("0123456789") == std::string::npos;
        value = in_.get_item(value,
                             digits ? Value(int64_t{std::stoll(key)}) : make_string(budget_, key));
        rest.remove_prefix(stop + 1);
      } else {
        fail("format: only '.' or '[' may follow ']' in '{}'", name);
      }
    }
    return value;
  }

  Value argument(const std::string& name) {
    const bool digits = name.find_first_not_of("0123456789") == std::string::npos;
    if (digits && name.size() < 18) {
      if (name.empty() ? numbered_ : automatic_) {
        fail("format: cannot mix automatic and numbered fields");
      }
      (name.empty() ? automatic_ : numbered_) = true;
      const size_t index = name.empty() ? next_++ : static_cast<size_t>(std::stoll(name));
      if (index >= args_.positional.size()) fail("format: no positional argument {}", index);
      return args_.positional[index];
    }
    for (const auto& [key, value] : args_.named) {
      if (key == name) return value;
    }
    fail("format: no argument '{}'", name);
  }

  Interpreter& in_;
  Budget& budget_;
  const Args& args_;
  size_t next_ = 0;
  bool automatic_ = false, numbered_ = false;
};

}  // namespace

Value percent_format(Interpreter& in, const Value& format, const Value& argument) {
  if (format.str().markup) fail("unsupported: % on a string marked safe");
  return make_string(in.budget, Percent(in, format.text(), argument).run());
}

Value brace_format(Interpreter& in, const Value& format, const Args& args) {
  if (format.str().markup) fail("unsupported: format() on a string marked safe");
  return make_string(in.budget, Brace(in, args).run(format.text(), 0));
}

}  // namespace sumi::text::jinja

// Filters on text, and conversions.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {

Value escape_markup(Budget& budget, const Value& value) {
  if (value.is_string() && value.str().markup) return value;
  std::string out;
  for (const char c : to_text(budget, value)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return make_string(budget, std::move(out), true);
}

namespace {

// soft_str: strings stay (markup too), others become text.
Value soft(Interpreter& in, const Value& value) {
  return value.is_string() ? value : make_string(in.budget, to_text(in.budget, value));
}

Value by_method(Interpreter& in, const Value& input, const char* method, Args args = {}) {
  return call_string_method(in, soft(in, input), method, std::move(args));
}

Value title(Interpreter& in, Value input, Args& args) {
  const Bound b("title", args, {});
  const Value text = soft(in, input);
  std::string out;
  bool start = true;  // of a word: after white space or - ( { [ <
  const std::string& s = text.text();
  for (size_t i = 0; i < s.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(s, i);
    if (is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<') {
      out.append(s, begin, i - begin);
      start = true;
    } else if (start) {
      out += to_upper(std::string_view(s).substr(begin, i - begin));
      start = false;
    } else {
      out += to_lower(std::string_view(s).substr(begin, i - begin));
    }
  }
  return make_string(in.budget, std::move(out));
}

Value trim(Interpreter& in, Value input, Args& args) {
  const Bound b("trim", args, {"chars"});
  return by_method(in, input, "strip", {{b[0]}, {}});
}

Value replace(Interpreter& in, Value input, Args& args) {
  const Bound b("replace", args, {"old", "new", "count"}, 2);
  Args plain;
  const auto text = [&](const Value& value) {
    return make_string(in.budget, to_text(in.budget, value));
  };
  plain.positional = {text(b[0]), text(b[1])};
  if (b.has_value(2)) plain.positional.push_back(b[2]);
  return call_string_method(in, text(input), "replace", std::move(plain));
}

Value indent(Interpreter& in, Value input, Args& args) {
  const Bound b("indent", args, {"width", "first", "blank"});
  if (input.is_undefined()) fail_undefined(input);
  if (!input.is_string()) fail("indent: expected a string, found {}", type_name(input));
  std::string fill(4, ' ');
  if (b.has(0)) {
    if (b[0].is_string()) {
      fill = b[0].text();
    } else {
      const int64_t width = std::max<int64_t>(b.integer(0), 0);
      in.budget.check_size(static_cast<size_t>(width));
      fill.assign(static_cast<size_t>(width), ' ');
    }
  }
  const Value text = make_string(in.budget, input.text() + "\n");
  std::string out = b.flag(1) ? fill : "";
  bool first = true;
  for (const Value& line : elements(in.budget, call_string_method(in, text, "splitlines", {}))) {
    if (!first) {
      out += '\n';
      if (b.flag(2) || !line.text().empty()) out += fill;
    }
    first = false;
    out += line.text();
    in.budget.check_size(out.size());
  }
  return make_string(in.budget, std::move(out), input.str().markup);
}

Value truncate(Interpreter& in, Value input, Args& args) {
  const Bound b("truncate", args, {"length", "killwords", "end", "leeway"});
  const int64_t most = b.integer(0, 255), leeway = b.has_value(3) ? b.integer(3) : 5;
  const std::string end = b.has(2) ? b.text(2) : "...";
  const auto end_size = static_cast<int64_t>(count_code_points(end));
  if (most < end_size) fail("truncate: expected length >= {}, got {}", end_size, most);
  if (leeway < 0) fail("truncate: expected leeway >= 0, got {}", leeway);
  if (!input.is_string()) {
    if (length(in.budget, input) <= most) return input;
    fail("truncate: expected a string, found {}", type_name(input));
  }
  const std::string& text = input.text();
  if (length(in.budget, input) - most <= leeway) return input;
  std::string_view kept =
      std::string_view(text).substr(0, byte_offset(text, static_cast<size_t>(most - end_size)));
  if (!b.flag(1)) kept = kept.substr(0, kept.rfind(' '));
  return make_string(in.budget, std::string(kept) + end, input.str().markup);
}

Value wordcount(Interpreter& in, Value input, Args& args) {
  const Bound b("wordcount", args, {});
  const Value text = soft(in, input);
  int64_t count = 0;
  bool in_word = false;
  for (size_t i = 0; i < text.text().size();) {
    const bool word = is_word(next_code_point(text.text(), i));
    count += word && !in_word;
    in_word = word;
  }
  return Value(count);
}

void append_quoted(std::string& out, const std::string& text, bool query) {
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !query);
    if (plain) {
      out += c;
    } else if (c == ' ' && query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
}

Value urlencode(Interpreter& in, Value input, Args& args) {
  const Bound b("urlencode", args, {});
  std::string out;
  if (input.is_string() || !iterable(input)) {
    append_quoted(out, to_text(in.budget, input), false);
    return make_string(in.budget, std::move(out));
  }
  std::vector<std::pair<Value, Value>> pairs;
  if (const Dict* dict = input.dict()) {
    pairs = dict->entries;
  } else {
    for (const Value& item : elements(in.budget, input)) {
      const std::vector<Value> pair = elements(in.budget, item);
      if (pair.size() != 2) fail("urlencode: expected pairs, found {} elements", pair.size());
      pairs.emplace_back(pair[0], pair[1]);
    }
  }
  for (const auto& [key, value] : pairs) {
    if (!out.empty()) out += '&';
    append_quoted(out, to_text(in.budget, key), true);
    out += '=';
    append_quoted(out, to_text(in.budget, value), true);
    in.budget.check_size(out.size());
  }
  return make_string(in.budget, std::move(out));
}

Value striptags(Interpreter& in, Value input, Args& args) {
  const Bound b("striptags", args, {});
  // Comments, then tags, are cut; then runs of white space become one space and entities are read
  // back.
  std::string text = to_text(in.budget, input), out;
  for (const auto& [open, close] : {std::pair("<!--", "-->"), std::pair("<", ">")}) {
    out.clear();
    size_t begin = 0;
    while (true) {
      const size_t at = text.find(open, begin);
      const size_t end = at == std::string::npos ? at : text.find(close, at);
      if (end == std::string::npos) break;
      out.append(text, begin, at - begin);
      begin = end + std::string_view(close).size();
    }
    out.append(text, begin, std::string::npos);
    text = out;
  }
  std::string spaced;
  Args none;
  for (const Value& word :
       elements(in.budget, call_string_method(in, make_string(in.budget, text), "split", none))) {
    if (!spaced.empty()) spaced += ' ';
    spaced += word.text();
  }
  if (spaced.find('&') != std::string::npos) {
    static constexpr std::pair<std::string_view, char> kEntities[] = {
        {"&lt;", '<'},  {"&gt;", '>'},   {"&quot;", '"'},
        {"&#34;", '"'}, {"&#39;", '\''}, {"&amp;", '&'}};
    out.clear();
    for (size_t i = 0; i < spaced.size();) {
      const auto* entity = std::find_if(
          std::begin(kEntities), std::end(kEntities),
          [&](const auto& e) { return std::string_view(spaced).substr(i).starts_with(e.first); });
      if (entity != std::end(kEntities)) {
        out += entity->second;
        i += entity->first.size();
      } else {
        out += spaced[i++];
      }
    }
    spaced = out;
  }
  return make_string(in.budget, std::move(spaced));
}

// float(text): Python's syntax (underscores between digits, inf, nan); false if it is none.
bool parse_float(std::string_view text, double& result) {
  text = strip(text, Side::both);
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool between = i > 0 && i + 1 < text.size() &&
                         std::isdigit(static_cast<unsigned char>(text[i - 1])) &&
                         std::isdigit(static_cast<unsigned char>(text[i + 1]));
    if (text[i] == '_' && between) continue;
    digits += text[i];
  }
  const size_t sign = !digits.empty() && (digits[0] == '+' || digits[0] == '-') ? 1 : 0;
  const std::string lower = to_lower(digits.substr(sign));
  if (lower == "inf" || lower == "infinity") {
    result = HUGE_VAL;
  } else if (lower == "nan") {
    result = std::nan("");
  } else {
    if (lower.empty() || lower.find_first_not_of("0123456789.e+-") != std::string::npos)
      return false;
    char* end = nullptr;
    result = std::strtod(lower.c_str(), &end);
    if (*end != '\0' || lower[0] == '+' || lower[0] == '-') return false;
  }
  if (digits[0] == '-') result = -result;
  return true;
}

// int(text, base); false if it is no such number. Throws beyond 64 bits.
bool parse_int(std::string_view text, int base, int64_t& result) {
  text = strip(text, Side::both);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const auto prefix = [&](char letter) {
    return text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == letter;
  };
  const int prefixed = prefix('x') ? 16 : prefix('o') ? 8 : prefix('b') ? 2 : 10;
  if (prefixed != 10 && (base == 0 || base == prefixed)) {
    text.remove_prefix(text[2] == '_' && text.size() > 3 ? 3 : 2);
    base = prefixed;
  }
  if (base == 0) base = 10;
  std::string digits = negative ? "-" : "";
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && i > 0 && i + 1 < text.size() && text[i - 1] != '_') continue;
    if (!std::isalnum(static_cast<unsigned char>(text[i]))) return false;
    digits += text[i];
  }
  if (digits.size() == (negative ? 1u : 0u)) return false;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), result, base);
  if (parsed.ptr != digits.data() + digits.size()) return false;
  if (parsed.ec == std::errc::result_out_of_range) {
    fail("the integer {} does not fit 64 bits", digits.substr(0, 40));
  }
  return parsed.ec == std::errc();
}

Value to_int(Interpreter& in, Value input, Args& args) {
  const Bound b("int", args, {"default", "base"});
  const Value otherwise = b.has(0) ? b[0] : Value(int64_t{0});
  if (input.is_undefined()) fail_undefined(input);
  if (input.is_int()) return Value(input.integer());
  double value = 0;
  if (input.is_string()) {
    const int64_t base = b.integer(1, 10);
    if (base != 0 && (base < 2 || base > 36)) fail("int: base must be 0 or from 2 to 36");
    in.budget.charge(input.text().size());
    int64_t result;
    if (parse_int(input.text(), static_cast<int>(base), result)) return Value(result);
    if (!parse_float(input.text(), value)) return otherwise;
    if (!std::isfinite(value)) return otherwise;
  } else if (input.is<double>()) {
    value = input.get<double>();
    if (std::isnan(value)) return otherwise;
  } else {
    return otherwise;
  }
  return Value(to_integer(value));
}

Value to_float(Interpreter& in, Value input, Args& args) {
  const Bound b("float", args, {"default"});
  if (input.is_undefined()) fail_undefined(input);
  if (input.is_number()) return Value(input.number());
  double value;
  if (input.is_string()) {
    in.budget.charge(input.text().size());
    if (parse_float(input.text(), value)) return Value(value);
  }
  return b.has(0) ? b[0] : Value(0.0);
}

Value format(Interpreter& in, Value input, Args& args) {
  if (!args.positional.empty() && !args.named.empty()) {
    fail("format: can't handle positional and keyword arguments at the same time");
  }
  const Value text = soft(in, input);
  if (args.named.empty()) {
    return percent_format(
        in, text, make_sequence(in.budget, SequenceKind::tuple, std::move(args.positional)));
  }
  auto dict = make_dict();
  for (const auto& [name, value] : args.named) {
    dict->set(in.budget, make_string(in.budget, name), value);
  }
  return percent_format(in, text, Value(std::move(dict)));
}

Value xmlattr(Interpreter& in, Value input, Args& args) {
  const Bound b("xmlattr", args, {"autospace"});
  if (input.dict() == nullptr) fail("xmlattr: expected a mapping, found {}", type_name(input));
  std::string out;
  for (const auto& [key, value] : input.dict()->entries) {
    if (value.is_none() || value.is_undefined()) continue;
    if (!key.is_string() || key.text().find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      fail("xmlattr: invalid character in an attribute name");
    }
    if (!out.empty() || b.flag(0, true)) out += ' ';
    out += escape_markup(in.budget, key).text() + "=\"" + escape_markup(in.budget, value).text() +
           "\"";
    in.budget.check_size(out.size());
  }
  return make_string(in.budget, std::move(out));
}

}  // namespace

const FilterTable& text_filters() {
  static const Filter escape = [](Interpreter& in, Value input, Args& args) {
    const Bound b("escape", args, {});
    return escape_markup(in.budget, input);
  };
  static const FilterTable table = {
      {"capitalize",
       [](Interpreter& in, Value v, Args& args) { return by_method(in, v, "capitalize", args); }},
      {"center",
       [](Interpreter& in, Value v, Args& args) {
         const Bound b("center", args, {"width"});
         return by_method(in, v, "center", {{b.has(0) ? b[0] : Value(int64_t{80})}, {}});
       }},
      {"e", escape},
      {"escape", escape},
      {"float", to_float},
      {"forceescape",
       [](Interpreter& in, Value v, Args& args) {
         const Bound b("forceescape", args, {});
         return escape_markup(in.budget, make_string(in.budget, to_text(in.budget, v)));
       }},
      {"format", format},
      {"indent", indent},
      {"int", to_int},
      {"lower",
       [](Interpreter& in, Value v, Args& args) { return by_method(in, v, "lower", args); }},
      {"replace", replace},
      {"safe",
       [](Interpreter& in, Value v, Args& args) {
         const Bound b("safe", args, {});
         return make_string(in.budget, to_text(in.budget, v), true);
       }},
      {"string",
       [](Interpreter& in, Value v, Args& args) {
         const Bound b("string", args, {});
         return soft(in, v);
       }},
      {"striptags", striptags},
      {"title", title},
      {"trim", trim},
      {"truncate", truncate},
      {"upper",
       [](Interpreter& in, Value v, Args& args) { return by_method(in, v, "upper", args); }},
      {"urlencode", urlencode},
      {"wordcount", wordcount},
      {"xmlattr", xmlattr},
  };
  return table;
}

}  // namespace sumi::text::jinja

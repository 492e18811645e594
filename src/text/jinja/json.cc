// JSON in (the variables) and out (the tojson filter, as json.dumps).
#include <algorithm>
#include <cmath>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {

Value from_json(Budget& budget, const nlohmann::ordered_json& json, int depth) {
  if (depth >= kMaxValueDepth) fail("variables are nested more than {} deep", kMaxValueDepth);
  using Type = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Type::null:
      return Value();
    case Type::boolean:
      return Value(json.get<bool>());
    case Type::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
        fail("the variable {} does not fit 64 bits", json.get<uint64_t>());
      }
      return Value(static_cast<int64_t>(json.get<uint64_t>()));
    case Type::number_integer:
      return Value(json.get<int64_t>());
    case Type::number_float:
      return Value(json.get<double>());
    case Type::string:
      return constant(valid_utf8(json.get_ref<const std::string&>()));
    case Type::array: {
      std::vector<Value> items;
      for (const auto& item : json) items.push_back(from_json(budget, item, depth + 1));
      return make_sequence(budget, SequenceKind::list, std::move(items));
    }
    case Type::object: {
      auto dict = make_dict();
      for (const auto& [key, value] : json.items()) {
        dict->set(budget, constant(valid_utf8(key)), from_json(budget, value, depth + 1));
      }
      return Value(std::move(dict));
    }
    default:
      fail("a variable has no JSON type the template could use");
  }
}

namespace {

class Writer {
 public:
  Writer(Budget& budget, bool ascii, bool sort, bool has_indent, std::string indent)
      : budget_(budget),
        ascii_(ascii),
        sort_(sort),
        has_indent_(has_indent),
        indent_(std::move(indent)) {
    if (has_indent_) item_separator = ",";
  }

  void value(const Value& v, int depth) {
    budget_.step();
    budget_.check_size(out.size());
    if (v.is_none()) {
      out += "null";
    } else if (v.is<bool>()) {
      out += v.get<bool>() ? "true" : "false";
    } else if (v.is_int()) {
      out += std::to_string(v.integer());
    } else if (v.is<double>()) {
      out += number(v.get<double>());
    } else if (v.is_string()) {
      string(v.text());
    } else if (const Dict* dict = v.dict()) {
      object(*dict, depth);
    } else if (const Sequence* s = v.sequence();
               s != nullptr && s->indexable() && s->kind != SequenceKind::range) {
      array(s->items, depth);
    } else {
      fail("tojson: an object of type {} is not JSON serializable", type_name(v));
    }
  }

  std::string out, item_separator = ", ", key_separator = ": ";

 private:
  static std::string number(double d) {
    return std::isnan(d)   ? "NaN"
           : std::isinf(d) ? (d < 0 ? "-Infinity" : "Infinity")
                           : float_repr(d);
  }

  void newline(int depth) {
    if (!has_indent_) return;
    out += '\n';
    budget_.check_product(indent_.size(), static_cast<uint64_t>(depth));
    for (int i = 0; i < depth; ++i) out += indent_;
    budget_.check_size(out.size());
  }

  void array(const std::vector<Value>& items, int depth) {
    if (items.empty()) {
      out += "[]";
      return;
    }
    out += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += item_separator;
      newline(depth + 1);
      value(items[i], depth + 1);
    }
    newline(depth);
    out += ']';
  }

  void object(const Dict& dict, int depth) {
    if (dict.entries.empty()) {
      out += "{}";
      return;
    }
    std::vector<const std::pair<Value, Value>*> order;
    for (const auto& entry : dict.entries) order.push_back(&entry);
    if (sort_) {
      std::stable_sort(order.begin(), order.end(), [&](const auto* a, const auto* b) {
        return less(budget_, a->first, b->first);
      });
    }
    out += '{';
    bool first = true;
    for (const auto* entry : order) {
      if (!first) out += item_separator;
      first = false;
      newline(depth + 1);
      const Value& key = entry->first;
      if (key.is_string()) {
        string(key.text());
      } else if (key.is_none() || key.is_number()) {
        out += '"';
        value(key, depth);
        out += '"';
      } else {
        fail("tojson: keys must be str, int, float, bool or None, not {}", type_name(key));
      }
      out += key_separator;
      value(entry->second, depth + 1);
    }
    newline(depth);
    out += '}';
  }

  void string(const std::string& text) {
    budget_.charge(text.size());
    out += '"';
    for (size_t i = 0; i < text.size();) {
      const char32_t c = next_code_point(text, i);
      static constexpr std::string_view kPlain = "\"\\\n\r\t\f\b", kEscaped = "\"\\nrtfb";
      const size_t k = c < 0x80 ? kPlain.find(static_cast<char>(c)) : std::string_view::npos;
      if (k != std::string_view::npos) {
        out += '\\';
        out += kEscaped[k];
      } else if (c < 0x20 || (ascii_ && c > 0x7e)) {
        unicode(c);
      } else {
        append_code_point(out, c);
      }
    }
    out += '"';
    budget_.check_size(out.size());
  }

  void unicode(char32_t c) {
    if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      const auto v = static_cast<unsigned>(c) - 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (v >> 10), 0xdc00 + (v & 0x3ff));
    }
  }

  Budget& budget_;
  const bool ascii_, sort_, has_indent_;
  const std::string indent_;
};

}  // namespace

Value json_filter(Interpreter& in, Value input, Args& args) {
  const Bound b("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
  std::string indent;
  if (b.has_value(1)) {
    if (b[1].is_string()) {
      indent = b[1].text();
    } else {
      const int64_t width = std::max<int64_t>(b.integer(1), 0);
      in.budget.check_size(static_cast<size_t>(width));
      indent.assign(static_cast<size_t>(width), ' ');
    }
  }
  Writer writer(in.budget, b.flag(0), b.flag(3), b.has_value(1), std::move(indent));
  if (b.has_value(2)) {
    const std::vector<Value> both = elements(in.budget, b[2]);
    if (both.size() != 2 || !both[0].is_string() || !both[1].is_string()) {
      fail("tojson: separators must be two strings");
    }
    writer.item_separator = both[0].text();
    writer.key_separator = both[1].text();
  }
  writer.value(input, 0);
  return make_string(in.budget, std::move(writer.out));
}

}  // namespace sumi::text::jinja

// Filters on lists, mappings and numbers.
#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {
namespace {

// "a.b.0" as a path from an element to what it is compared, joined or selected by.
class AttributeGetter {
 public:
  AttributeGetter(Interpreter& in, const Value& attribute, bool lower, Value otherwise = Value())
      : in_(in), lower_(lower), otherwise_(std::move(otherwise)) {
    if (attribute.is_none()) return;
    if (!attribute.is_string()) {
      path_.push_back(attribute);
      return;
    }
    std::string_view rest = attribute.text();
    while (true) {
      const size_t dot = rest.find('.');
      const std::string_view part = rest.substr(0, dot);
      const bool digits = !part.empty() && std::all_of(part.begin(), part.end(),
                                                       [](char c) { return c >= '0' && c <= '9'; });
      if (digits && part.size() < 18) {
        path_.push_back(Value(int64_t{std::stoll(std::string(part))}));
      } else {
        path_.push_back(make_string(in.budget, std::string(part)));
      }
      if (dot == std::string_view::npos) break;
      rest.remove_prefix(dot + 1);
    }
  }

  Value operator()(Value item) const {
    for (const Value& part : path_) {
      in_.budget.step();
      item = in_.get_item(item, part);
      if (item.is_undefined() && !otherwise_.is_none()) item = otherwise_;
    }
    if (lower_ && item.is_string()) return make_string(in_.budget, to_lower(item.text()));
    return item;
  }

 private:
  Interpreter& in_;
  bool lower_;
  Value otherwise_;
  std::vector<Value> path_;
};

Value list_of(Interpreter& in, std::vector<Value> items) {
  return make_sequence(in.budget, SequenceKind::list, std::move(items));
}
Value generator_of(Interpreter& in, std::vector<Value> items) {
  return make_sequence(in.budget, SequenceKind::generator, std::move(items));
}

struct Keyed {
  Value key, value;
};

// Python's stable sort; reverse keeps equal elements in order too.
void sort_by_key(Interpreter& in, std::vector<Keyed>& items, bool reverse) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(in.budget, b.key, a.key) : less(in.budget, a.key, b.key);
  });
}

Value sort(Interpreter& in, Value input, Args& args) {
  const Bound b("sort", args, {"reverse", "case_sensitive", "attribute"});
  std::vector<AttributeGetter> getters;
  if (b[2].is_string()) {
    std::string_view rest = b[2].text();
    while (true) {
      const size_t comma = rest.find(',');
      getters.emplace_back(in, make_string(in.budget, std::string(rest.substr(0, comma))),
                           !b.flag(1));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  } else {
    getters.emplace_back(in, b[2], !b.flag(1));
  }
  std::vector<Keyed> items;
  for (Value& item : elements(in.budget, input)) {
    std::vector<Value> keys;
    for (const auto& getter : getters) keys.push_back(getter(item));
    items.push_back({list_of(in, std::move(keys)), std::move(item)});
  }
  sort_by_key(in, items, b.flag(0));
  std::vector<Value> out;
  for (Keyed& item : items) out.push_back(std::move(item.value));
  return list_of(in, std::move(out));
}

Value dictsort(Interpreter& in, Value input, Args& args) {
  const Bound b("dictsort", args, {"case_sensitive", "by", "reverse"});
  const std::string by = b.has(1) ? b.text(1) : "key";
  if (by != "key" && by != "value") fail("dictsort: 'by' must be 'key' or 'value'");
  if (input.is_undefined()) fail_undefined(input);
  if (input.dict() == nullptr) fail("dictsort: expected a mapping, found {}", type_name(input));
  std::vector<Keyed> items;
  const AttributeGetter lower(in, Value(), !b.flag(0));
  for (const auto& [key, value] : input.dict()->entries) {
    in.budget.step();
    items.push_back({lower(by == "key" ? key : value),
                     make_sequence(in.budget, SequenceKind::tuple, {key, value})});
  }
  sort_by_key(in, items, b.flag(2));
  std::vector<Value> out;
  for (Keyed& item : items) out.push_back(std::move(item.value));
  return list_of(in, std::move(out));
}

Value groupby(Interpreter& in, Value input, Args& args) {
  const Bound b("groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  const AttributeGetter key(in, b[0], !b.flag(2), b[1]), real(in, b[0], false, b[1]);
  std::vector<Keyed> items;
  for (Value& item : elements(in.budget, input)) {
    Value k = key(item);
    items.push_back({std::move(k), std::move(item)});
  }
  sort_by_key(in, items, false);
  std::vector<Value> groups;
  for (size_t i = 0; i < items.size();) {
    std::vector<Value> members;
    const Value first = items[i].key;
    for (; i < items.size() && equals(in.budget, items[i].key, first); ++i) {
      members.push_back(items[i].value);
    }
    if (members.empty()) members.push_back(items[i++].value);  // a key unequal to itself
    Value shown = b.flag(2) ? first : real(members[0]);
    groups.push_back(make_sequence(in.budget, SequenceKind::group,
                                   {std::move(shown), list_of(in, std::move(members))}));
  }
  return list_of(in, std::move(groups));
}

Value unique(Interpreter& in, Value input, Args& args) {
  const Bound b("unique", args, {"case_sensitive", "attribute"});
  const AttributeGetter key(in, b[1], !b.flag(0));
  std::unordered_set<std::string> seen;
  std::vector<Value> out;
  for (Value& item : elements(in.budget, input)) {
    if (seen.insert(hash_key(in.budget, key(item))).second) out.push_back(std::move(item));
  }
  return generator_of(in, std::move(out));
}

Value extreme(Interpreter& in, const Value& input, Args& args, bool largest) {
  const Bound b(largest ? "max" : "min", args, {"case_sensitive", "attribute"});
  const AttributeGetter key(in, b[1], !b.flag(0));
  std::vector<Value> items = elements(in.budget, input);
  if (items.empty()) return make_undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  Value best_key = key(items[0]);
  for (size_t i = 1; i < items.size(); ++i) {
    Value k = key(items[i]);
    if (largest ? less(in.budget, best_key, k) : less(in.budget, k, best_key)) {
      best = i;
      best_key = std::move(k);
    }
  }
  return items[best];
}

Value sum(Interpreter& in, Value input, Args& args) {
  const Bound b("sum", args, {"attribute", "start"});
  const AttributeGetter get(in, b[0], false);
  Value total = b.has(1) ? b[1] : Value(int64_t{0});
  if (total.is_string()) fail("sum() can't sum strings");
  for (Value& item : elements(in.budget, input)) {
    in.budget.step();
    total = arithmetic(in, "+", total, get(std::move(item)));
  }
  return total;
}

Value map(Interpreter& in, Value input, Args& args) {
  std::vector<Value> out;
  if (!truthy(input)) return generator_of(in, {});
  std::vector<Value> items = elements(in.budget, input);
  if (args.positional.empty() && !args.named.empty() &&
      std::any_of(args.named.begin(), args.named.end(),
                  [](const auto& named) { return named.first == "attribute"; })) {
    for (const auto& named : args.named) {
      if (named.first != "attribute" && named.first != "default") {
        fail("map got an unexpected keyword argument '{}'", named.first);
      }
    }
    const Bound b("map", args, {"attribute", "default"}, 1);
    const AttributeGetter get(in, b[0], false, b[1]);
    for (Value& item : items) out.push_back(get(std::move(item)));
  } else {
    if (args.positional.empty()) fail("map requires a filter argument");
    if (!args.positional[0].is_string()) fail("map: the filter's name must be a string");
    const std::string name = args.positional[0].text();
    Args rest = args;
    rest.positional.erase(rest.positional.begin());
    for (Value& item : items) out.push_back(apply_filter(in, name, std::move(item), rest));
  }
  return generator_of(in, std::move(out));
}

Value select(Interpreter& in, Value input, Args& args, bool keep, bool attribute) {
  if (!truthy(input)) return generator_of(in, {});
  Args rest = args;
  Value path;
  if (attribute) {
    if (rest.positional.empty()) fail("Missing parameter for attribute name");
    path = rest.positional[0];
    rest.positional.erase(rest.positional.begin());
  }
  const AttributeGetter get(in, path, false);
  std::string test;
  if (!rest.positional.empty()) {
    if (!rest.positional[0].is_string()) fail("the test's name must be a string");
    test = rest.positional[0].text();
    rest.positional.erase(rest.positional.begin());
    if (!is_test(test)) fail("unknown test '{}'", test);
  }
  std::vector<Value> out;
  for (Value& item : elements(in.budget, input)) {
    in.budget.step();
    const Value value = get(item);
    if ((test.empty() ? truthy(value) : apply_test(in, test, value, rest)) == keep) {
      out.push_back(std::move(item));
    }
  }
  return generator_of(in, std::move(out));
}

Value join(Interpreter& in, Value input, Args& args) {
  const Bound b("join", args, {"d", "attribute"});
  const AttributeGetter get(in, b[1], false);
  const std::string separator = b.has(0) ? to_text(in.budget, b[0]) : "";
  std::string out;
  bool first = true;
  for (Value& item : elements(in.budget, input)) {
    in.budget.step();
    if (!first) out += separator;
    first = false;
    out += to_text(in.budget, get(std::move(item)));
    in.budget.check_size(out.size());
  }
  return make_string(in.budget, std::move(out));
}

Value first(Interpreter& in, Value input, Args& args) {
  const Bound b("first", args, {});
  if (Sequence* s = input.sequence()) {
    if (s->next >= s->items.size()) return make_undefined("No first item, sequence was empty.");
    return s->items[s->kind == SequenceKind::generator ? s->next++ : 0];
  }
  if (input.is_string() && !input.text().empty()) return in.get_item(input, Value(int64_t{0}));
  const std::vector<Value> items = elements(in.budget, input);
  return items.empty() ? make_undefined("No first item, sequence was empty.") : items[0];
}

Value last(Interpreter& in, Value input, Args& args) {
  const Bound b("last", args, {});
  const Sequence* s = input.sequence();
  if (s != nullptr && s->kind == SequenceKind::generator) {
    fail("'generator' object is not reversible");
  }
  if (input.is_undefined()) fail("'Undefined' object is not reversible");
  if (s != nullptr && !s->items.empty()) return s->items.back();
  if (input.is_string() && !input.text().empty()) return in.get_item(input, Value(int64_t{-1}));
  const std::vector<Value> items = elements(in.budget, input);
  return items.empty() ? make_undefined("No last item, sequence was empty.") : items.back();
}

Value reverse(Interpreter& in, Value input, Args& args) {
  const Bound b("reverse", args, {});
  if (input.is_string()) {
    std::string out;
    const std::string& text = input.text();
    for (size_t i = text.size(); i > 0;) append_code_point(out, previous_code_point(text, i));
    return make_string(in.budget, std::move(out), input.str().markup);
  }
  const Sequence* s = input.sequence();
  const bool by_list = input.is_undefined() || (s != nullptr && s->kind == SequenceKind::generator);
  std::vector<Value> items = elements(in.budget, input);
  std::reverse(items.begin(), items.end());
  return by_list ? list_of(in, std::move(items)) : generator_of(in, std::move(items));
}

Value batch(Interpreter& in, Value input, Args& args) {
  const Bound b("batch", args, {"linecount", "fill_with"}, 1);
  const int64_t count = b.integer(0);
  std::vector<Value> out, row;
  for (Value& item : elements(in.budget, input)) {
    if (static_cast<int64_t>(row.size()) == count)
      out.push_back(list_of(in, std::exchange(row, {})));
    row.push_back(std::move(item));
  }
  if (!row.empty()) {
    if (b.has_value(1) && static_cast<int64_t>(row.size()) < count) {
      in.budget.check_product(sizeof(Value), static_cast<uint64_t>(count));
      in.budget.charge(sizeof(Value) * static_cast<size_t>(count));
      row.resize(static_cast<size_t>(count), b[1]);
    }
    out.push_back(list_of(in, std::move(row)));
  }
  return generator_of(in, std::move(out));
}

Value slice(Interpreter& in, Value input, Args& args) {
  const Bound b("slice", args, {"slices", "fill_with"}, 1);
  const std::vector<Value> items = elements(in.budget, input);
  const int64_t slices = b.integer(0);
  if (slices == 0) fail("slice: division by zero");
  if (slices < 0) return generator_of(in, {});
  in.budget.step(slices);
  const auto size = static_cast<int64_t>(items.size());
  const int64_t each = size / slices, extra = size % slices;
  std::vector<Value> out;
  int64_t begin = 0;
  for (int64_t k = 0; k < slices; ++k) {
    const int64_t end = begin + each + (k < extra ? 1 : 0);
    std::vector<Value> part(items.begin() + begin, items.begin() + end);
    if (b.has_value(1) && k >= extra) part.push_back(b[1]);
    out.push_back(list_of(in, std::move(part)));
    begin = end;
  }
  return generator_of(in, std::move(out));
}

Value items_of(Interpreter& in, Value input, Args& args) {
  const Bound b("items", args, {});
  if (input.is_undefined()) return generator_of(in, {});
  if (input.dict() == nullptr) fail("items: can only get item pairs from a mapping");
  std::vector<Value> out;
  for (const auto& [key, value] : input.dict()->entries) {
    in.budget.step();
    out.push_back(make_sequence(in.budget, SequenceKind::tuple, {key, value}));
  }
  return generator_of(in, std::move(out));
}

Value absolute(Interpreter&, Value input, Args& args) {
  const Bound b("abs", args, {});
  if (input.is<double>()) return Value(std::abs(input.get<double>()));
  if (!input.is_int()) fail("bad operand type for abs(): '{}'", type_name(input));
  const int64_t value = input.integer();
  return Value(value < 0 ? checked_multiply(value, -1) : value);
}

Value round(Interpreter&, Value input, Args& args) {
  const Bound b("round", args, {"precision", "method"});
  const std::string method = b.has(1) ? b.text(1) : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    fail("round: method must be common, ceil or floor");
  }
  if (input.is_undefined()) fail_undefined(input);
  if (!input.is_number()) fail("type {} has no rounding", type_name(input));
  const int64_t precision = b.integer(0);
  if (std::abs(static_cast<double>(precision)) > 300)
    fail("round: precision {} is out of range", precision);
  if (method == "common") {
    if (input.is_int() && precision >= 0) return Value(input.integer());
    if (input.is_int()) {
      // To even at half, as Python rounds integers.
      if (precision < -18) return Value(int64_t{0});
      int64_t unit = 1;
      for (int64_t i = 0; i < -precision; ++i) unit *= 10;
      const int64_t value = input.integer();
      int64_t quotient = value / unit, rest = value % unit;
      if (rest < 0) {
        rest += unit;
        --quotient;
      }
      if (rest > unit - rest || (rest == unit - rest && quotient % 2 != 0)) ++quotient;
      return Value(checked_multiply(quotient, unit));
    }
    const double value = input.get<double>();
    if (!std::isfinite(value)) {
      // round(x, 0) keeps the float.
      return input;
    }
    if (precision < 0) {
      const double unit = std::pow(10.0, static_cast<double>(-precision));
      return Value(std::nearbyint(value / unit) * unit);
    }
    // Correctly rounded decimal text, then back, as CPython does.
    return Value(std::strtod(fmt::format("{:.{}f}", value, precision).c_str(), nullptr));
  }
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.number() * unit;
  const double whole = method == "ceil" ? std::ceil(scaled) : std::floor(scaled);
  return Value(static_cast<double>(to_integer(whole)) / unit);
}

Value default_value(Interpreter&, Value input, Args& args) {
  const Bound b("default", args, {"default_value", "boolean"});
  if (!input.is_undefined() && !(b.flag(1) && !truthy(input))) return input;
  return b.has(0) ? b[0] : constant("");
}

Value attribute(Interpreter& in, Value input, Args& args) {
  const Bound b("attr", args, {"name"}, 1);
  if (input.is_undefined()) fail_undefined(input);
  Value result;
  if (in.find_attribute(input, b.text(0), result)) return result;  // never a key
  return make_undefined(
      fmt::format("'{}' object has no attribute '{}'", type_name(input), b.text(0)));
}

}  // namespace

const FilterTable& sequence_filters() {
  static const Filter len = [](Interpreter& in, Value input, Args& args) {
    const Bound b("length", args, {});
    return Value(length(in.budget, input));
  };
  static const FilterTable table = {
      {"abs", absolute},
      {"attr", attribute},
      {"batch", batch},
      {"count", len},
      {"d", default_value},
      {"default", default_value},
      {"dictsort", dictsort},
      {"first", first},
      {"groupby", groupby},
      {"items", items_of},
      {"join", join},
      {"last", last},
      {"length", len},
      {"list",
       [](Interpreter& in, Value input, Args& args) {
         const Bound b("list", args, {});
         return list_of(in, elements(in.budget, input));
       }},
      {"map", map},
      {"max", [](Interpreter& in, Value v, Args& args) { return extreme(in, v, args, true); }},
      {"min", [](Interpreter& in, Value v, Args& args) { return extreme(in, v, args, false); }},
      {"reject",
       [](Interpreter& in, Value v, Args& args) { return select(in, v, args, false, false); }},
      {"rejectattr",
       [](Interpreter& in, Value v, Args& args) { return select(in, v, args, false, true); }},
      {"reverse", reverse},
      {"round", round},
      {"select",
       [](Interpreter& in, Value v, Args& args) { return select(in, v, args, true, false); }},
      {"selectattr",
       [](Interpreter& in, Value v, Args& args) { return select(in, v, args, true, true); }},
      {"slice", slice},
      {"sort", sort},
      {"sum", sum},
      {"tojson", json_filter},
      {"unique", unique},
  };
  return table;
}

}  // namespace sumi::text::jinja

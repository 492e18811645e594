// Attributes, subscripts and the methods of built-in types.
#include <algorithm>
#include <array>
#include <cmath>

#include "text/jinja/filters.h"
#include "text/jinja/objects.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {
namespace {

template <size_t N>
bool one_of(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What ImmutableSandboxedEnvironment hides: methods that change a list or a dict.
constexpr std::array<std::string_view, 8> kListMutators = {"append", "clear", "pop",    "reverse",
                                                           "insert", "sort",  "extend", "remove"};
constexpr std::array<std::string_view, 5> kDictMutators = {"clear", "pop", "popitem", "setdefault",
                                                           "update"};
constexpr std::array<std::string_view, 6> kDictMethods = {"get",    "items", "keys",
                                                          "values", "copy",  "fromkeys"};
constexpr std::array<std::string_view, 6> kNumberMembers = {
    "imag", "denominator", "bit_length", "to_bytes", "as_integer_ratio", "conjugate"};

Value unsafe(std::string_view name, const Value& object) {
  return make_undefined(
      fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(object)));
}

Value method(const Value& object, std::string_view name) {
  if (depth_of(object) >= kMaxValueDepth) {
    fail("values are nested more than {} deep", kMaxValueDepth);
  }
  return Value(std::shared_ptr<Object>(std::make_shared<Method>(object, std::string(name))));
}

Value missing(const Value& object, const Value& key) {
  std::string text = key.is_string() ? "'" + key.text().substr(0, 100) + "'"
                     : key.is_int()  ? std::to_string(key.integer())
                                     : "of type " + type_name(key);
  return make_undefined(fmt::format("'{}' object has no {} {}", type_name(object),
                                    key.is_string() ? "attribute" : "element", text));
}

}  // namespace

bool Interpreter::find_attribute(const Value& object, std::string_view name, Value& result) {
  if (name.size() > 4 && name.starts_with("__") && name.ends_with("__")) {
    result = unsafe(name, object);
    return true;
  }
  if (object.is_string()) {
    if (!is_string_method(name)) return false;
    result = method(object, name);
    return true;
  }
  if (object.dict() != nullptr) {
    if (one_of(name, kDictMutators)) {
      result = unsafe(name, object);
    } else if (one_of(name, kDictMethods)) {
      result = method(object, name);
    } else {
      return false;
    }
    return true;
  }
  if (const Sequence* s = object.sequence()) {
    if (s->kind == SequenceKind::list && one_of(name, kListMutators)) {
      result = unsafe(name, object);
    } else if (s->kind == SequenceKind::group && name == "grouper") {
      result = s->items[0];
    } else if (s->kind == SequenceKind::group && name == "list") {
      result = s->items[1];
    } else if (s->kind == SequenceKind::range &&
               (name == "start" || name == "stop" || name == "step")) {
      result = Value(name == "start" ? s->start : name == "stop" ? s->stop : s->step);
    } else if (s->indexable() && (name == "index" || name == "count")) {
      result = method(object, name);
    } else if (s->kind == SequenceKind::list && name == "copy") {
      result = method(object, name);
    } else {
      return false;
    }
    return true;
  }
  if (object.is_number()) {
    if (object.is<double>() && name == "is_integer") {
      result = method(object, name);
      return true;
    }
    if (name == "real" || (name == "numerator" && object.is_int())) {
      result = object.is<bool>() ? Value(object.integer()) : object;
      return true;
    }
    if (one_of(name, kNumberMembers)) {
      fail("unsupported attribute '{}' of a number", name);
    }
    return false;
  }
  return object.object() != nullptr && object.object()->attribute(*this, name, result);
}

Value Interpreter::get_attribute(const Value& object, std::string_view name) {
  if (object.is_undefined()) fail_undefined(object);
  Value result;
  if (find_attribute(object, name, result)) return result;
  if (const Dict* dict = object.dict()) {
    budget.step();
    if (const Value* value = dict->find(name)) return *value;
  }
  return make_undefined(fmt::format("'{}' object has no attribute '{}'", type_name(object), name));
}

Value Interpreter::get_item(const Value& object, const Value& key) {
  if (object.is_undefined()) fail_undefined(object);
  const Sequence* sequence = object.sequence();
  if (key.is_int() && (object.is_string() || (sequence != nullptr && sequence->indexable()))) {
    const int64_t size = length(budget, object);
    int64_t index = key.integer();
    if (index < 0) index += size;
    if (index < 0 || index >= size) return missing(object, key);
    if (sequence != nullptr) return sequence->items[static_cast<size_t>(index)];
    const std::string& text = object.text();
    size_t begin = static_cast<size_t>(index);
    if (!object.str().ascii) {
      budget.charge(text.size());
      begin = byte_offset(text, begin);
    }
    size_t end = begin;
    next_code_point(text, end);
    return make_string(budget, text.substr(begin, end - begin), object.str().markup);
  }
  if (const Dict* dict = object.dict()) {
    const bool hashable = key.dict() == nullptr && (key.sequence() == nullptr ||
                                                    key.sequence()->kind == SequenceKind::tuple);
    if (hashable) {
      if (const Value* value = dict->find(budget, key)) return *value;
    }
  }
  if (key.is_string()) {
    Value result;
    if (find_attribute(object, key.text(), result)) return result;
  }
  return missing(object, key);
}

Value Method::call(Interpreter& in, Args args) {
  Budget& budget = in.budget;
  if (self.is_string()) return call_string_method(in, self, name, std::move(args));
  if (!args.named.empty()) fail("{}() takes no keyword arguments", name);
  if (const Dict* dict = self.dict()) {
    if (name == "get") {
      const Bound b("get", args, {"key", "default"}, 1);
      const Value* value = dict->find(budget, b[0]);
      return value != nullptr ? *value : b[1];
    }
    if (name == "fromkeys") fail("unsupported method 'fromkeys' of dict");
    const Bound b(name, args, {});
    if (name == "copy") {
      auto copy = make_dict();
      for (const auto& [key, value] : dict->entries) copy->set(budget, key, value);
      return Value(std::move(copy));
    }
    std::vector<Value> items;
    budget.step(static_cast<int64_t>(dict->entries.size()));
    for (const auto& [key, value] : dict->entries) {
      items.push_back(name == "keys" ? key
                      : name == "values"
                          ? value
                          : make_sequence(budget, SequenceKind::tuple, {key, value}));
    }
    return make_sequence(budget,
                         name == "keys"     ? SequenceKind::keys
                         : name == "values" ? SequenceKind::values
                                            : SequenceKind::items,
                         std::move(items));
  }
  if (const Sequence* sequence = self.sequence()) {
    const auto& items = sequence->items;
    if (name == "copy") {
      const Bound b(name, args, {});
      return make_sequence(budget, SequenceKind::list, items);
    }
    if (name == "count") {
      const Bound b(name, args, {"value"}, 1);
      int64_t count = 0;
      for (const Value& item : items) count += equals(budget, item, b[0]);
      return Value(count);
    }
    const Bound b(name, args, {"value", "start", "stop"}, 1);
    const auto size = static_cast<int64_t>(items.size());
    const auto clip = [&](int64_t i) { return std::clamp(i < 0 ? i + size : i, int64_t{0}, size); };
    const int64_t stop = clip(b.integer(2, size));
    for (int64_t i = clip(b.integer(1)); i < stop; ++i) {
      if (equals(budget, items[static_cast<size_t>(i)], b[0])) return Value(i);
    }
    fail("the value is not in the {}", jinja::type_name(self));
  }
  if (name == "is_integer" && self.is<double>()) {
    const double d = self.get<double>();
    return Value(std::isfinite(d) && std::floor(d) == d);
  }
  fail("unsupported method '{}'", name);
}

}  // namespace sumi::text::jinja

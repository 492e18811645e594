#include "text/jinja/filters.h"

#include <algorithm>
#include <cstring>

#include "text/jinja/objects.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {

Bound::Bound(std::string_view function, Args& args, std::initializer_list<const char*> names,
             size_t required)
    : function_(function), names_(names), values_(names.size()), given_(names.size(), false) {
  if (args.positional.size() > names_.size()) {
    fail("{} takes at most {} arguments, got {}", function_, names_.size(), args.positional.size());
  }
  for (size_t i = 0; i < args.positional.size(); ++i) {
    values_[i] = args.positional[i];
    given_[i] = true;
  }
  for (const auto& [name, value] : args.named) {
    const auto at = std::find_if(names_.begin(), names_.end(),
                                 [&name = name](const char* n) { return name == n; });
    if (at == names_.end()) fail("{} got an unexpected keyword argument '{}'", function_, name);
    const auto i = static_cast<size_t>(at - names_.begin());
    if (given_[i]) fail("{} got two values for '{}'", function_, name);
    values_[i] = value;
    given_[i] = true;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!given_[i]) fail("{} is missing its argument '{}'", function_, names_[i]);
  }
}

int64_t Bound::integer(size_t i, int64_t otherwise) const {
  if (!given_[i]) return otherwise;
  if (values_[i].is_undefined()) fail_undefined(values_[i]);
  if (!values_[i].is_int()) {
    fail("{}: '{}' must be an integer, not {}", function_, names_[i], type_name(values_[i]));
  }
  return values_[i].integer();
}

const std::string& Bound::text(size_t i) const {
  if (!values_[i].is_string()) {
    fail("{}: '{}' must be a string, not {}", function_, names_[i], type_name(values_[i]));
  }
  return values_[i].text();
}

bool is_filter(std::string_view name) {
  return text_filters().contains(name) || sequence_filters().contains(name);
}

Value apply_filter(Interpreter& in, const std::string& name, Value input, Args args) {
  in.budget.step();
  for (const FilterTable* table : {&text_filters(), &sequence_filters()}) {
    const auto found = table->find(name);
    if (found != table->end()) return found->second(in, std::move(input), args);
  }
  fail("unknown filter '{}'", name);
}

namespace {

using Test = bool (*)(Interpreter& in, const Value& input, Args& args);

bool cased(Interpreter& in, const Value& input, const char* method) {
  const Value text = make_string(in.budget, to_text(in.budget, input));
  return truthy(call_string_method(in, text, method, {}));
}

int64_t modulo(Interpreter& in, const Value& value, const Value& divisor) {
  const Value result = arithmetic(in, "%", value, divisor);
  if (!result.is_number()) fail("not a number: '{}'", type_name(value));
  // A float's remainder counts as the integer it equals, or as none.
  if (result.is<double>()) {
    const double d = result.get<double>();
    return d == 0 ? 0 : d == 1 ? 1 : 2;
  }
  return result.integer();
}

const Value& only(Args& args, const char* name) {
  if (args.positional.size() != 1 || !args.named.empty()) {
    fail("test '{}' takes one argument", name);
  }
  return args.positional[0];
}

void none(const Args& args, const char* name) {
  if (!args.positional.empty() || !args.named.empty()) fail("test '{}' takes no argument", name);
}

// The tests on a value's kind alone.
using Kind = bool (*)(const Value& value);
const std::unordered_map<std::string_view, Kind>& kind_tests() {
  static const std::unordered_map<std::string_view, Kind> table = {
      {"defined", [](const Value& v) { return !v.is_undefined(); }},
      {"undefined", [](const Value& v) { return v.is_undefined(); }},
      {"none", [](const Value& v) { return v.is_none(); }},
      {"boolean", [](const Value& v) { return v.is<bool>(); }},
      {"true", [](const Value& v) { return v.is<bool>() && v.get<bool>(); }},
      {"false", [](const Value& v) { return v.is<bool>() && !v.get<bool>(); }},
      {"integer", [](const Value& v) { return v.is<int64_t>(); }},
      {"float", [](const Value& v) { return v.is<double>(); }},
      {"number", [](const Value& v) { return v.is_number(); }},
      {"string", [](const Value& v) { return v.is_string(); }},
      {"mapping", [](const Value& v) { return v.dict() != nullptr; }},
      {"iterable", [](const Value& v) { return iterable(v); }},
      {"sequence",
       [](const Value& v) {
         return v.is_undefined() || v.is_string() || v.dict() != nullptr ||
                (v.sequence() != nullptr && v.sequence()->indexable());
       }},
      {"callable",
       [](const Value& v) {
         return v.is_undefined() || (v.object() != nullptr && v.object()->callable());
       }},
      {"escaped", [](const Value& v) { return v.is_string() && v.str().markup; }},
  };
  return table;
}

const std::unordered_map<std::string_view, Test>& tests() {
  static const Test equal = [](Interpreter& in, const Value& v, Args& args) {
    return equals(in.budget, v, only(args, "eq"));
  };
  static const Test unequal = [](Interpreter& in, const Value& v, Args& args) {
    return !equals(in.budget, v, only(args, "ne"));
  };
  static const Test below = [](Interpreter& in, const Value& v, Args& args) {
    return less(in.budget, v, only(args, "lt"));
  };
  static const Test above = [](Interpreter& in, const Value& v, Args& args) {
    return less(in.budget, only(args, "gt"), v);
  };
  static const Test at_most = [](Interpreter& in, const Value& v, Args& args) {
    const Value& other = only(args, "le");
    return less(in.budget, v, other) || equals(in.budget, v, other);
  };
  static const Test at_least = [](Interpreter& in, const Value& v, Args& args) {
    const Value& other = only(args, "ge");
    return less(in.budget, other, v) || equals(in.budget, v, other);
  };
  static const std::unordered_map<std::string_view, Test> table = {
      {"eq", equal},
      {"equalto", equal},
      {"==", equal},
      {"ne", unequal},
      {"!=", unequal},
      {"lt", below},
      {"<", below},
      {"lessthan", below},
      {"gt", above},
      {"greaterthan", above},
      {">", above},
      {"le", at_most},
      {"<=", at_most},
      {"ge", at_least},
      {">=", at_least},
      {"odd",
       [](Interpreter& in, const Value& v, Args& args) {
         none(args, "odd");
         return modulo(in, v, Value(int64_t{2})) == 1;
       }},
      {"even",
       [](Interpreter& in, const Value& v, Args& args) {
         none(args, "even");
         return modulo(in, v, Value(int64_t{2})) == 0;
       }},
      {"divisibleby", [](Interpreter& in, const Value& v,
                         Args& args) { return modulo(in, v, only(args, "divisibleby")) == 0; }},
      {"sameas",
       [](Interpreter&, const Value& v, Args& args) { return identical(v, only(args, "sameas")); }},
      {"in", [](Interpreter& in, const Value& v,
                Args& args) { return contains(in.budget, only(args, "in"), v); }},
      {"lower",
       [](Interpreter& in, const Value& v, Args& args) {
         none(args, "lower");
         return cased(in, v, "islower");
       }},
      {"upper",
       [](Interpreter& in, const Value& v, Args& args) {
         none(args, "upper");
         return cased(in, v, "isupper");
       }},
      {"filter",
       [](Interpreter& in, const Value& v, Args& args) {
         none(args, "filter");
         hash_key(in.budget, v);
         return v.is_string() && is_filter(v.text());
       }},
      {"test",
       [](Interpreter& in, const Value& v, Args& args) {
         none(args, "test");
         hash_key(in.budget, v);
         return v.is_string() && is_test(v.text());
       }},
  };
  return table;
}

}  // namespace

bool is_test(std::string_view name) {
  return kind_tests().contains(name) || tests().contains(name);
}

bool apply_test(Interpreter& in, const std::string& name, const Value& input, Args args) {
  in.budget.step();
  if (const auto kind = kind_tests().find(name); kind != kind_tests().end()) {
    none(args, name.c_str());
    return kind->second(input);
  }
  const auto found = tests().find(name);
  if (found == tests().end()) fail("unknown test '{}'", name);
  return found->second(in, input, args);
}

}  // namespace sumi::text::jinja

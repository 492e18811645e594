// The filters and tests by name, and the methods of strings.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "text/jinja/interpreter.h"

namespace sumi::text::jinja {

bool is_filter(std::string_view name);
bool is_test(std::string_view name);
// Throw Error for an unknown name.
Value apply_filter(Interpreter& in, const std::string& name, Value input, Args args);
bool apply_test(Interpreter& in, const std::string& name, const Value& input, Args args);

using Filter = Value (*)(Interpreter& in, Value input, Args& args);
using FilterTable = std::unordered_map<std::string_view, Filter>;
const FilterTable& text_filters();
const FilterTable& sequence_filters();

bool is_string_method(std::string_view name);
Value call_string_method(Interpreter& in, const Value& self, const std::string& name, Args args);

// str % argument, str.format(...), format(value, spec).
Value percent_format(Interpreter& in, const Value& format, const Value& argument);
Value brace_format(Interpreter& in, const Value& format, const Args& args);

// json.dumps(value, ensure_ascii, indent, separators, sort_keys).
Value json_filter(Interpreter& in, Value input, Args& args);

Value escape_markup(Budget& budget, const Value& value);
int64_t checked_add(int64_t a, int64_t b);
int64_t checked_multiply(int64_t a, int64_t b);
// The integer part; throws if it does not fit 64 bits or is not finite.
int64_t to_integer(double value);

// Arguments matched to parameter names. Throws on unknown, double, missing or too many ones.
class Bound {
 public:
  Bound(std::string_view function, Args& args, std::initializer_list<const char*> names,
        size_t required = 0);

  bool has(size_t i) const { return given_[i]; }
  bool has_value(size_t i) const { return given_[i] && !values_[i].is_none(); }
  const Value& operator[](size_t i) const { return values_[i]; }
  bool flag(size_t i, bool otherwise = false) const {
    return given_[i] ? truthy(values_[i]) : otherwise;
  }
  // Throw if the argument is of another type.
  int64_t integer(size_t i, int64_t otherwise = 0) const;
  const std::string& text(size_t i) const;

 private:
  std::string function_;
  std::vector<const char*> names_;
  std::vector<Value> values_;
  std::vector<bool> given_;
};

}  // namespace sumi::text::jinja

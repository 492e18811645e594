// Values with behaviour.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/interpreter.h"

namespace sumi::text::jinja {

// A function of the environment: range, dict, namespace, joiner ...
struct Function : Object {
  using Body = Value (*)(Interpreter& in, Args& args);
  Function(const char* function_name, Body function) : name(function_name), body(function) {}
  const char* type_name() const override { return "function"; }
  bool callable() const override { return true; }
  Value call(Interpreter& in, Args args) override { return body(in, args); }
  const char* name;
  Body body;
};

// self.name, a method of a str, list, dict ...
struct Method : Object {
  Method(Value object, std::string method)
      : Object(depth_of(object) + 1), self(std::move(object)), name(std::move(method)) {}
  const char* type_name() const override { return "builtin_function_or_method"; }
  bool callable() const override { return true; }
  Value call(Interpreter& in, Args args) override;
  Value self;
  std::string name;
};

struct MacroObject : Object {
  MacroObject(const Macro& tree, std::shared_ptr<Scope> scope)
      : macro(tree), closure(std::move(scope)) {}
  const char* type_name() const override { return "Macro"; }
  bool callable() const override { return true; }
  Value call(Interpreter& in, Args args) override {
    return in.call_macro(macro, closure, std::move(args));
  }
  bool attribute(Interpreter& in, std::string_view attribute_name, Value& result) override;
  void repr(Budget& budget, std::string& out) const override;
  const Macro& macro;
  std::shared_ptr<Scope> closure;
};

struct Namespace : Object {
  Namespace() : attributes(make_dict()) {}
  const char* type_name() const override { return "Namespace"; }
  bool attribute(Interpreter& in, std::string_view name, Value& result) override;
  void repr(Budget& budget, std::string& out) const override;
  std::shared_ptr<Dict> attributes;
};

// `loop`. Elements come one by one, since the loop's filter may depend on what the body did before.
struct Loop : Object {
  explicit Loop(std::vector<Value> elements_) : source(std::move(elements_)) {
    for (const Value& value : source) depth = std::max(depth, depth_of(value) + 1);
    if (depth > kMaxValueDepth) fail("values are nested more than {} deep", kMaxValueDepth);
  }
  const char* type_name() const override { return "LoopContext"; }
  bool callable() const override { return true; }
  Value call(Interpreter& in, Args args) override;
  bool attribute(Interpreter& in, std::string_view name, Value& result) override;
  void repr(Budget& budget, std::string& out) const override;

  bool advance();  // to the next element; false at the end
  int64_t length();

  std::vector<Value> source;
  size_t position = 0;
  std::function<bool(const Value&)> accept;  // the loop's filter; empty: all
  std::optional<Value> before, current, after;
  int64_t index0 = -1;
  int64_t known_length = -1;
  std::optional<Value> last_changed;

 private:
  bool peek();
  std::optional<Value> pull();
};

struct Cycler : Object {
  explicit Cycler(std::vector<Value> values) : items(std::move(values)) {
    for (const Value& value : items) depth = std::max(depth, depth_of(value) + 1);
    if (depth > kMaxValueDepth) fail("values are nested more than {} deep", kMaxValueDepth);
  }
  const char* type_name() const override { return "Cycler"; }
  bool attribute(Interpreter& in, std::string_view name, Value& result) override;
  std::vector<Value> items;
  size_t position = 0;
};

struct Joiner : Object {
  explicit Joiner(Value text) : separator(std::move(text)) {}
  const char* type_name() const override { return "Joiner"; }
  bool callable() const override { return true; }
  Value call(Interpreter& in, Args args) override;
  Value separator;
  bool used = false;
};

// range, dict, namespace, cycler, joiner, raise_exception, strftime_now.
std::shared_ptr<Scope> global_scope();

}  // namespace sumi::text::jinja

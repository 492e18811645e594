// Runs a parsed template. One Interpreter renders once.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/value.h"

namespace sumi::text::jinja {

// Variables by name; names live in the template or in `owned`.
struct Scope {
  explicit Scope(std::shared_ptr<Scope> outer = nullptr) : parent(std::move(outer)) {}
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<std::string, Value>> variables;
};

class Interpreter {
 public:
  // `now`: seconds since 1970 for strftime_now, -1 for the clock.
  Interpreter(const std::string& name, const TemplateLimits& limits, int64_t now);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // Throws Error "name, line N: ...".
  std::string render(const Block& block, const nlohmann::ordered_json& variables);

  Value call(const Value& callee, Args args);
  Value get_attribute(const Value& object, std::string_view name);  // object.name
  Value get_item(const Value& object, const Value& key);            // object[key]
  // True if the attribute exists in Python; then `result` is it, or undefined if the sandbox
  // forbids it.
  bool find_attribute(const Value& object, std::string_view name, Value& result);
  Value call_macro(const Macro& macro, const std::shared_ptr<Scope>& closure, Args args);
  // Keeps a value whose references may form a cycle until the render ends.
  void keep(std::shared_ptr<Object> object);
  int64_t now() const { return now_; }

  Budget budget;

 private:
  enum class Flow { next, leave, again };
  struct Nest;
  struct ExpressionNest;

  // Statements (interpreter.cc).
  Flow run(const Block& block);
  Flow run(const Stmt& stmt);
  Flow run_loop(const Stmt& stmt);
  void run_call_block(const Stmt& stmt);
  void run_in_scope(const Block& block);
  std::string capture(const Block& block);
  void write(std::string_view text);
  void assign(const Expr& target, const Value& value);
  void store(const std::string& name, Value value);
  Value make_macro(const Macro& macro);

  // Expressions (evaluate.cc).
  Value evaluate(const Expr& expr);
  Value evaluate_operator(const Expr& expr);
  Value evaluate_container(const Expr& expr);
  Value evaluate_compare(const Expr& expr);
  Value evaluate_slice(const Value& object, const Expr& slice);
  Value evaluate_call(const Expr& expr, std::pair<std::string, Value>* extra = nullptr);
  Args evaluate_arguments(const Expr& expr);
  Value load(const std::string& name);

  const std::string& name_;
  const int64_t max_depth_, now_;
  int64_t depth_ = 0, expression_depth_ = 0;
  int line_ = 1;
  std::string* out_ = nullptr;
  std::shared_ptr<Scope> scope_;
  std::vector<std::shared_ptr<Scope>> kept_scopes_;
  std::vector<std::shared_ptr<Object>> kept_objects_;
};

// Binary arithmetic on values, as Python's operators.
Value arithmetic(Interpreter& in, std::string_view op, const Value& a, const Value& b);

// JSON values as the template sees them.
Value from_json(Budget& budget, const nlohmann::ordered_json& json, int depth = 0);

}  // namespace sumi::text::jinja

#include "text/jinja/interpreter.h"

#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/objects.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {

// Depth of running blocks and macros; expressions are bounded by the parser and by this too.
struct Interpreter::Nest {
  explicit Nest(Interpreter& owner) : in(owner) {
    if (++in.depth_ > in.max_depth_) {
      fail("blocks, macros and expressions are nested more than {} deep", in.max_depth_);
    }
  }
  ~Nest() { --in.depth_; }
  Interpreter& in;
};

Interpreter::Interpreter(const std::string& name, const TemplateLimits& limits, int64_t now)
    : budget(limits), name_(name), max_depth_(limits.depth), now_(now) {}

Interpreter::~Interpreter() {
  // Breaks cycles: macros refer to scopes that hold them, namespaces to values that hold the
  // namespace.
  for (const auto& scope : kept_scopes_) scope->variables.clear();
  for (const auto& object : kept_objects_) {
    if (auto* ns = dynamic_cast<Namespace*>(object.get())) ns->attributes->entries.clear();
    if (auto* loop = dynamic_cast<Loop*>(object.get())) loop->last_changed.reset();
  }
}

void Interpreter::keep(std::shared_ptr<Object> object) {
  if (std::exchange(object->kept, true)) return;
  budget.charge(256);
  kept_objects_.push_back(std::move(object));
}

std::string Interpreter::render(const Block& block, const nlohmann::ordered_json& variables) {
  std::string out;
  try {
    if (!variables.is_object() && !variables.is_null()) fail("variables must be a JSON object");
    auto context = std::make_shared<Scope>(global_scope());
    for (const auto& [key, value] : variables.items()) {
      context->variables.emplace_back(valid_utf8(key), from_json(budget, value));
    }
    scope_ = std::make_shared<Scope>(std::move(context));
    out_ = &out;
    run(block);
  } catch (const Error& error) {
    fail("{}, line {}: {}", name_, line_, error.what());
  }
  return out;
}

void Interpreter::write(std::string_view text) {
  budget.check_size(out_->size() + text.size());
  budget.charge(text.size());
  out_->append(text);
}

void Interpreter::store(const std::string& name, Value value) {
  budget.step(1 + static_cast<int64_t>(scope_->variables.size() / 32));
  for (auto& variable : scope_->variables) {
    if (variable.first == name) {
      variable.second = std::move(value);
      return;
    }
  }
  budget.charge(64);
  scope_->variables.emplace_back(name, std::move(value));
}

void Interpreter::assign(const Expr& target, const Value& value) {
  budget.step();
  if (target.kind == ExprKind::name) {
    store(target.name, value);
  } else if (target.kind == ExprKind::ns_ref) {
    const Value owner = load(target.name);
    auto* ns = dynamic_cast<Namespace*>(owner.object());
    if (ns == nullptr) {
      fail("cannot assign attribute '{}' on '{}', which is not a namespace", target.text,
           target.name);
    }
    if (target.text.starts_with('_')) {
      fail("a namespace cannot hold '{}': names must not start with an underscore", target.text);
    }
    ns->attributes->set(budget, make_string(budget, target.text), value);
  } else {
    const std::vector<Value> items = elements(budget, value);
    if (items.size() != target.children.size()) {
      fail("expected {} values to unpack, found {}", target.children.size(), items.size());
    }
    for (size_t i = 0; i < items.size(); ++i) assign(*target.children[i], items[i]);
  }
}

Interpreter::Flow Interpreter::run(const Block& block) {
  const Nest nest(*this);
  for (const auto& stmt : block) {
    if (const Flow flow = run(*stmt); flow != Flow::next) return flow;
  }
  return Flow::next;
}

void Interpreter::run_in_scope(const Block& block) {
  budget.charge(128);
  const std::shared_ptr<Scope> outer = scope_;
  scope_ = std::make_shared<Scope>(outer);
  run(block);
  scope_ = outer;
}

std::string Interpreter::capture(const Block& block) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  run_in_scope(block);
  out_ = outer;
  return text;
}

Interpreter::Flow Interpreter::run(const Stmt& stmt) {
  budget.step();
  line_ = stmt.line;
  switch (stmt.kind) {
    case StmtKind::text:
      write(stmt.text);
      return Flow::next;
    case StmtKind::output: {
      const Value value = evaluate(*stmt.value);
      if (value.is_string()) {
        write(value.text());
      } else {
        write(to_text(budget, value));
      }
      return Flow::next;
    }
    case StmtKind::conditional:
      for (const auto& [test, body] : stmt.branches) {
        if (truthy(evaluate(*test))) return run(body);
      }
      return run(stmt.body);
    case StmtKind::loop:
      return run_loop(stmt);
    case StmtKind::set:
      assign(*stmt.target, evaluate(*stmt.value));
      return Flow::next;
    case StmtKind::set_block: {
      Value value = make_string(budget, capture(stmt.body));
      if (stmt.value != nullptr) {
        // The filters' innermost input is null: what was captured.
        const std::shared_ptr<Scope> outer = scope_;
        scope_ = std::make_shared<Scope>(outer);
        store(" input", std::move(value));
        value = evaluate(*stmt.value);
        scope_ = outer;
      }
      assign(*stmt.target, value);
      return Flow::next;
    }
    case StmtKind::macro:
      store(stmt.macro->name, make_macro(*stmt.macro));
      return Flow::next;
    case StmtKind::call_block:
      run_call_block(stmt);
      return Flow::next;
    case StmtKind::filter_block: {
      Value value = make_string(budget, capture(stmt.body));
      const std::shared_ptr<Scope> outer = scope_;
      scope_ = std::make_shared<Scope>(outer);
      store(" input", std::move(value));
      write(to_text(budget, evaluate(*stmt.value)));
      scope_ = outer;
      return Flow::next;
    }
    case StmtKind::with: {
      std::vector<Value> values;
      for (const auto& value : stmt.values) values.push_back(evaluate(*value));
      budget.charge(128);
      const std::shared_ptr<Scope> outer = scope_;
      scope_ = std::make_shared<Scope>(outer);
      for (size_t i = 0; i < values.size(); ++i) assign(*stmt.targets[i], values[i]);
      const Flow flow = run(stmt.body);
      scope_ = outer;
      return flow;
    }
    case StmtKind::scope:
      run_in_scope(stmt.body);
      return Flow::next;
    case StmtKind::break_loop:
      return Flow::leave;
    case StmtKind::continue_loop:
      return Flow::again;
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::run_loop(const Stmt& stmt) {
  const std::shared_ptr<Scope> outer = scope_;
  const auto loop = std::make_shared<Loop>(elements(budget, evaluate(*stmt.value)));
  if (stmt.test != nullptr) {
    loop->accept = [&](const Value& value) {
      const std::shared_ptr<Scope> saved = std::exchange(scope_, std::make_shared<Scope>(outer));
      budget.charge(128);
      assign(*stmt.target, value);
      const bool accepted = truthy(evaluate(*stmt.test));
      scope_ = saved;
      return accepted;
    };
  }
  Flow result = Flow::next;
  bool completed = false;
  while (loop->advance()) {
    budget.step();
    budget.charge(128);
    scope_ = std::make_shared<Scope>(outer);
    scope_->variables.emplace_back("loop", Value(std::shared_ptr<Object>(loop)));
    assign(*stmt.target, *loop->current);
    const Flow flow = run(stmt.body);
    scope_ = outer;
    if (flow == Flow::leave) break;
    completed |= flow == Flow::next;
  }
  // The loop object may outlive this call in a namespace.
  loop->accept = nullptr;
  loop->last_changed.reset();
  // Jinja2 runs the else unless one pass reached the body's end: a break or continue does not
  // count.
  if (!completed && !stmt.otherwise.empty()) {
    scope_ = std::make_shared<Scope>(outer);
    result = run(stmt.otherwise);
    scope_ = outer;
  }
  return result;
}

Value Interpreter::make_macro(const Macro& macro) {
  budget.charge(256);
  kept_scopes_.push_back(scope_);
  return Value(std::shared_ptr<Object>(std::make_shared<MacroObject>(macro, scope_)));
}

void Interpreter::run_call_block(const Stmt& stmt) {
  std::pair<std::string, Value> caller("caller", make_macro(*stmt.macro));
  write(to_text(budget, evaluate_call(*stmt.value, &caller)));
}

Value Interpreter::call_macro(const Macro& macro, const std::shared_ptr<Scope>& closure,
                              Args args) {
  const Nest nest(*this);
  budget.charge(256);
  const size_t count = macro.parameters.size();
  const auto scope = std::make_shared<Scope>(closure);
  std::vector<const Value*> given(count, nullptr);
  std::vector<bool> used(args.named.size(), false);
  const size_t positional = std::min(count, args.positional.size());
  for (size_t i = 0; i < count; ++i) {
    if (i < positional) {
      given[i] = &args.positional[i];
      continue;
    }
    for (size_t k = 0; k < args.named.size(); ++k) {
      if (args.named[k].first != macro.parameters[i]) continue;
      given[i] = &args.named[k].second;
      used[k] = true;
    }
  }
  auto rest = make_dict();
  Value caller = make_undefined("No caller defined");
  for (size_t k = 0; k < args.named.size(); ++k) {
    const auto& [name, value] = args.named[k];
    if (used[k]) continue;
    if (macro.uses_caller && name == "caller") {
      caller = value;
    } else if (macro.uses_kwargs) {
      rest->set(budget, make_string(budget, name), value);
    } else {
      fail("macro '{}' takes no keyword argument '{}'", macro.name, name);
    }
  }
  if (!macro.uses_varargs && args.positional.size() > count) {
    fail("macro '{}' takes not more than {} argument(s)", macro.name, count);
  }
  std::string text;
  const int line = line_;
  const std::shared_ptr<Scope> outer_scope = std::exchange(scope_, scope);
  std::string* const outer_out = std::exchange(out_, &text);
  if (macro.uses_caller) store("caller", caller);
  if (macro.uses_kwargs) store("kwargs", Value(std::move(rest)));
  if (macro.uses_varargs) {
    std::vector<Value> more(args.positional.begin() + static_cast<ptrdiff_t>(positional),
                            args.positional.end());
    store("varargs", make_sequence(budget, SequenceKind::tuple, std::move(more)));
  }
  const size_t first_default = count - macro.defaults.size();
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = macro.parameters[i];
    if (given[i] != nullptr) {
      store(name, *given[i]);
    } else if (i >= first_default) {
      store(name, evaluate(*macro.defaults[i - first_default]));
    } else {
      store(name, make_undefined(fmt::format("parameter '{}' was not provided", name)));
    }
  }
  run(macro.body);
  scope_ = outer_scope;
  out_ = outer_out;
  line_ = line;
  return make_string(budget, std::move(text));
}

}  // namespace sumi::text::jinja

#include <algorithm>
#include <cmath>

#include "text/jinja/filters.h"
#include "text/jinja/objects.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {

Value Interpreter::load(const std::string& name) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    budget.step(static_cast<int64_t>(scope->variables.size() / 32));
    for (const auto& variable : scope->variables) {
      if (variable.first == name) return variable.second;
    }
  }
  return make_undefined(fmt::format("'{}' is undefined", name));
}

// The parser bounds each expression; this bounds expressions within macros within expressions.
struct Interpreter::ExpressionNest {
  explicit ExpressionNest(Interpreter& owner) : in(owner) {
    if (++in.expression_depth_ > 5 * in.max_depth_) fail("expressions are nested too deep");
  }
  ~ExpressionNest() { --in.expression_depth_; }
  Interpreter& in;
};

Value Interpreter::evaluate(const Expr& expr) {
  const ExpressionNest nest(*this);
  budget.step();
  line_ = expr.line;
  switch (expr.kind) {
    case ExprKind::constant:
      return expr.value;
    case ExprKind::name:
      return load(expr.name);
    case ExprKind::tuple:
    case ExprKind::list:
    case ExprKind::dict:
      return evaluate_container(expr);
    case ExprKind::logical_not:
      return Value(!truthy(evaluate(*expr.children[0])));
    case ExprKind::logical_and: {
      Value left = evaluate(*expr.children[0]);
      return truthy(left) ? evaluate(*expr.children[1]) : left;
    }
    case ExprKind::logical_or: {
      Value left = evaluate(*expr.children[0]);
      return truthy(left) ? left : evaluate(*expr.children[1]);
    }
    case ExprKind::compare:
      return evaluate_compare(expr);
    case ExprKind::conditional:
      if (truthy(evaluate(*expr.children[0]))) return evaluate(*expr.children[1]);
      if (expr.children.size() > 2) return evaluate(*expr.children[2]);
      return make_undefined(
          fmt::format("the inline if-expression on line {} evaluated to false and no else section "
                      "was defined.",
                      expr.line));
    case ExprKind::filter: {
      Value input = expr.children[0] != nullptr ? evaluate(*expr.children[0]) : load(" input");
      Args args = evaluate_arguments(expr);
      line_ = expr.line;
      return apply_filter(*this, expr.name, std::move(input), std::move(args));
    }
    case ExprKind::test: {
      const Value input = evaluate(*expr.children[0]);
      Args args = evaluate_arguments(expr);
      line_ = expr.line;
      return Value(apply_test(*this, expr.name, input, std::move(args)));
    }
    case ExprKind::attribute: {
      const Value object = evaluate(*expr.children[0]);
      line_ = expr.line;
      return get_attribute(object, expr.name);
    }
    case ExprKind::item: {
      const Value object = evaluate(*expr.children[0]);
      const Expr& key = *expr.children[1];
      if (key.kind == ExprKind::slice) return evaluate_slice(object, key);
      const Value index = evaluate(key);
      line_ = expr.line;
      return get_item(object, index);
    }
    case ExprKind::call:
      return evaluate_call(expr);
    case ExprKind::slice:
    case ExprKind::ns_ref:
      fail("a slice is not allowed here");
    default:
      return evaluate_operator(expr);
  }
}

Value Interpreter::evaluate_container(const Expr& expr) {
  if (expr.kind == ExprKind::dict) {
    auto dict = make_dict();
    for (size_t i = 0; i < expr.children.size(); i += 2) {
      const Value key = evaluate(*expr.children[i]);
      dict->set(budget, key, evaluate(*expr.children[i + 1]));
    }
    return Value(std::move(dict));
  }
  std::vector<Value> items;
  items.reserve(expr.children.size());
  for (const auto& child : expr.children) items.push_back(evaluate(*child));
  return make_sequence(budget,
                       expr.kind == ExprKind::list ? SequenceKind::list : SequenceKind::tuple,
                       std::move(items));
}

Value Interpreter::evaluate_operator(const Expr& expr) {
  if (expr.kind == ExprKind::concat) {
    std::string text;
    for (const auto& child : expr.children) {
      text += to_text(budget, evaluate(*child));
      budget.check_size(text.size());
    }
    return make_string(budget, std::move(text));
  }
  const Value left = evaluate(*expr.children[0]);
  if (expr.kind == ExprKind::binary) {
    const Value right = evaluate(*expr.children[1]);
    line_ = expr.line;
    return arithmetic(*this, expr.text, left, right);
  }
  line_ = expr.line;
  const bool negative = expr.kind == ExprKind::negate;
  if (left.is_undefined()) fail_undefined(left);
  if (left.is<double>()) return Value(negative ? -left.get<double>() : left.get<double>());
  if (!left.is_int())
    fail("bad operand type for unary {}: '{}'", negative ? '-' : '+', type_name(left));
  return Value(negative ? checked_multiply(left.integer(), -1) : left.integer());
}

Value Interpreter::evaluate_compare(const Expr& expr) {
  Value left = evaluate(*expr.children[0]);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = evaluate(*expr.children[i + 1]);
    line_ = expr.line;
    const std::string& op = expr.ops[i];
    bool holds;
    if (op == "==") {
      holds = equals(budget, left, right);
    } else if (op == "!=") {
      holds = !equals(budget, left, right);
    } else if (op == "<") {
      holds = less(budget, left, right);
    } else if (op == ">") {
      holds = less(budget, right, left);
    } else if (op == "<=") {
      holds = less(budget, left, right) || equals(budget, left, right);
    } else if (op == ">=") {
      holds = less(budget, right, left) || equals(budget, left, right);
    } else {
      holds = contains(budget, right, left) == (op == "in");
    }
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Args Interpreter::evaluate_arguments(const Expr& expr) {
  Args args;
  for (size_t i = 1; i < expr.children.size(); ++i) {
    args.positional.push_back(evaluate(*expr.children[i]));
  }
  for (const auto& [name, value] : expr.named) args.named.emplace_back(name, evaluate(*value));
  if (expr.star != nullptr) {
    for (Value& value : elements(budget, evaluate(*expr.star))) {
      args.positional.push_back(std::move(value));
    }
  }
  if (expr.star_star != nullptr) {
    const Value more = evaluate(*expr.star_star);
    if (more.dict() == nullptr)
      fail("argument after ** must be a mapping, not {}", type_name(more));
    for (const auto& [key, value] : more.dict()->entries) {
      if (!key.is_string()) fail("keywords must be strings");
      for (const auto& other : args.named) {
        budget.step();
        if (other.first == key.text()) fail("argument '{}' appears twice", key.text());
      }
      args.named.emplace_back(key.text(), value);
    }
  }
  return args;
}

Value Interpreter::evaluate_call(const Expr& expr, std::pair<std::string, Value>* extra) {
  const Value callee = evaluate(*expr.children[0]);
  Args args = evaluate_arguments(expr);
  if (extra != nullptr) {
    for (const auto& other : args.named) {
      if (other.first == "caller") fail("argument 'caller' appears twice");
    }
    args.named.push_back(std::move(*extra));
  }
  line_ = expr.line;
  return call(callee, std::move(args));
}

Value Interpreter::call(const Value& callee, Args args) {
  if (callee.is_undefined()) fail_undefined(callee);
  if (callee.object() == nullptr) fail("'{}' object is not callable", type_name(callee));
  return callee.object()->call(*this, std::move(args));
}

Value Interpreter::evaluate_slice(const Value& object, const Expr& slice) {
  std::vector<Value> parts(3);
  for (size_t i = 0; i < 3; ++i) {
    if (slice.children[i] != nullptr) parts[i] = evaluate(*slice.children[i]);
    if (!parts[i].is_none() && !parts[i].is_int()) {
      fail("slice indices must be integers or none, not {}", type_name(parts[i]));
    }
  }
  line_ = slice.line;
  if (object.is_undefined()) fail_undefined(object);
  const Sequence* sequence = object.sequence();
  if (!object.is_string() && (sequence == nullptr || !sequence->indexable())) {
    fail("'{}' object cannot be sliced", type_name(object));
  }
  const int64_t size = length(budget, object);
  const int64_t step = parts[2].is_none() ? 1 : parts[2].integer();
  if (step == 0) fail("slice step cannot be zero");
  // PySlice_AdjustIndices: both ends clipped to [0, size], or [-1, size - 1] going backwards.
  const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? size - 1 : size;
  const auto clip = [&](const Value& part, int64_t otherwise) {
    if (part.is_none()) return otherwise;
    const int64_t i = part.integer();
    return std::clamp(i < 0 ? (i < -size ? low : i + size) : i, low, high);
  };
  const int64_t start = clip(parts[0], step < 0 ? high : low);
  const int64_t stop = clip(parts[1], step < 0 ? low : high);
  std::vector<int64_t> picks;
  if (step > 0 ? start < stop : start > stop) {
    const uint64_t distance = static_cast<uint64_t>(step > 0 ? stop - start : start - stop);
    const uint64_t stride =
        step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
    const uint64_t count = (distance - 1) / stride + 1;
    if (object.is_string() && step == 1) {
      const std::string& text = object.text();
      const bool ascii = object.str().ascii;
      budget.charge(text.size());
      const size_t begin =
          ascii ? static_cast<size_t>(start) : byte_offset(text, static_cast<size_t>(start));
      const std::string_view tail = std::string_view(text).substr(begin);
      const size_t bytes = ascii ? count : byte_offset(tail, count);
      return make_string(budget, std::string(tail.substr(0, bytes)), object.str().markup);
    }
    budget.charge(count * 32);
    for (uint64_t i = 0; i < count; ++i) {
      picks.push_back(start + static_cast<int64_t>(i) * step);
    }
  }
  if (sequence == nullptr) {
    std::string out;
    std::vector<size_t> offsets;  // of each code point
    const std::string& text = object.text();
    budget.charge(text.size() * 8);
    if (!picks.empty()) {
      for (size_t i = 0; i < text.size();) {
        offsets.push_back(i);
        next_code_point(text, i);
      }
      offsets.push_back(text.size());
    }
    for (const int64_t pick : picks) {
      const auto p = static_cast<size_t>(pick);
      out.append(text, offsets[p], offsets[p + 1] - offsets[p]);
    }
    return make_string(budget, std::move(out), object.str().markup);
  }
  std::vector<Value> items;
  for (const int64_t pick : picks) items.push_back(sequence->items[static_cast<size_t>(pick)]);
  Value result = make_sequence(
      budget, sequence->kind == SequenceKind::group ? SequenceKind::tuple : sequence->kind,
      std::move(items));
  if (sequence->kind == SequenceKind::range) {
    Sequence& range = *result.sequence();
    range.start = checked_add(sequence->start, checked_multiply(start, sequence->step));
    range.stop = checked_add(sequence->start, checked_multiply(stop, sequence->step));
    range.step = checked_multiply(sequence->step, step);
  }
  return result;
}

}  // namespace sumi::text::jinja

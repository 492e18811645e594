#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/parser.h"

namespace sumi::text::jinja {

struct Depth {
  Depth(int64_t& depth, int64_t limit, const std::string& name, int line) : depth_(depth) {
    if (++depth_ > limit) {
      --depth_;
      fail("{}, line {}: the template is nested more than {} deep", name, line, limit);
    }
  }
  ~Depth() { --depth_; }
  int64_t& depth_;
};

ExprPtr Parser::make(ExprKind kind, int line) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

void Parser::add(Expr& parent, ExprPtr child) const {
  if (child != nullptr) {
    parent.height = std::max(parent.height, child->height + 1);
    if (parent.height > max_depth_) {
      error("an expression is nested more than {} deep", max_depth_);
    }
  }
  parent.children.push_back(std::move(child));
}

ExprPtr Parser::parse_expression(bool with_conditional) {
  const Depth depth(depth_, max_depth_, name_, current().line);
  return with_conditional ? parse_conditional() : parse_or();
}

ExprPtr Parser::parse_conditional() {
  const size_t unknown = unknown_.size();
  int line = current().line;
  ExprPtr value = parse_or();
  while (skip_name("if")) {
    ExprPtr node = make(ExprKind::conditional, line);
    add(*node, parse_or());
    add(*node, std::move(value));
    if (skip_name("else")) {
      const Depth depth(depth_, max_depth_, name_, current().line);
      add(*node, parse_conditional());
    }
    value = std::move(node);
    unknown_.resize(unknown);  // a branch not taken may name what does not exist
    line = current().line;
  }
  return value;
}

ExprPtr Parser::parse_or() {
  ExprPtr left = parse_and();
  while (is_name("or")) {
    ExprPtr node = make(ExprKind::logical_or, next().line);
    add(*node, std::move(left));
    add(*node, parse_and());
    left = std::move(node);
  }
  return left;
}

ExprPtr Parser::parse_and() {
  ExprPtr left = parse_not();
  while (is_name("and")) {
    ExprPtr node = make(ExprKind::logical_and, next().line);
    add(*node, std::move(left));
    add(*node, parse_not());
    left = std::move(node);
  }
  return left;
}

ExprPtr Parser::parse_not() {
  if (!is_name("not")) return parse_compare();
  const Depth depth(depth_, max_depth_, name_, current().line);
  ExprPtr node = make(ExprKind::logical_not, next().line);
  add(*node, parse_not());
  return node;
}

ExprPtr Parser::parse_compare() {
  ExprPtr first = parse_sum();
  ExprPtr node;
  while (true) {
    std::string op;
    const int line = current().line;
    if (is_op("==") || is_op("!=") || is_op("<") || is_op("<=") || is_op(">") || is_op(">=")) {
      op = next().text;
    } else if (skip_name("in")) {
      op = "in";
    } else if (is_name("not") && look().type == TokenType::name && look().text == "in") {
      next();
      next();
      op = "not in";
    } else {
      return node != nullptr ? std::move(node) : std::move(first);
    }
    if (node == nullptr) {
      node = make(ExprKind::compare, line);
      add(*node, std::move(first));
    }
    node->ops.push_back(op);
    add(*node, parse_sum());
  }
}

ExprPtr Parser::parse_sum() {
  ExprPtr left = parse_concat();
  while (is_op("+") || is_op("-")) {
    ExprPtr node = make(ExprKind::binary, current().line);
    node->text = next().text;
    add(*node, std::move(left));
    add(*node, parse_concat());
    left = std::move(node);
  }
  return left;
}

ExprPtr Parser::parse_concat() {
  const int line = current().line;
  ExprPtr first = parse_product();
  if (!is_op("~")) return first;
  ExprPtr node = make(ExprKind::concat, line);
  add(*node, std::move(first));
  while (skip_op("~")) add(*node, parse_product());
  return node;
}

ExprPtr Parser::parse_product() {
  ExprPtr left = parse_power();
  while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
    ExprPtr node = make(ExprKind::binary, current().line);
    node->text = next().text;
    add(*node, std::move(left));
    add(*node, parse_power());
    left = std::move(node);
  }
  return left;
}

ExprPtr Parser::parse_power() {
  ExprPtr left = parse_unary();
  while (is_op("**")) {
    ExprPtr node = make(ExprKind::binary, current().line);
    node->text = next().text;
    add(*node, std::move(left));
    add(*node, parse_unary());
    left = std::move(node);
  }
  return left;
}

ExprPtr Parser::parse_unary(bool with_filter) {
  const Depth depth(depth_, max_depth_, name_, current().line);
  ExprPtr node;
  if (is_op("-") || is_op("+")) {
    node = make(is_op("-") ? ExprKind::negate : ExprKind::plus, current().line);
    next();
    add(*node, parse_unary(false));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filter ? parse_filter_or_test(std::move(node)) : std::move(node);
}

ExprPtr Parser::parse_primary(bool with_namespace) {
  const Token& token = current();
  ExprPtr node = make(ExprKind::constant, token.line);
  switch (token.type) {
    case TokenType::name: {
      const std::string& name = next().text;
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        node->value = Value(name == "true" || name == "True");
      } else if (name == "none" || name == "None") {
        node->value = Value();
      } else if (with_namespace && skip_op(".")) {
        node->kind = ExprKind::ns_ref;
        node->text = expect_name();
        node->name = name;
      } else {
        for (Macro* macro : macros_) {
          macro->uses_caller |= name == "caller";
          macro->uses_kwargs |= name == "kwargs";
          macro->uses_varargs |= name == "varargs";
        }
        node->kind = ExprKind::name;
        node->name = name;
      }
      return node;
    }
    case TokenType::string: {
      std::string text;
      while (current().type == TokenType::string) text += next().text;
      node->value = constant(text);
      return node;
    }
    case TokenType::integer:
      node->value = Value(next().integer);
      return node;
    case TokenType::floating:
      node->value = Value(next().floating);
      return node;
    default:
      break;
  }
  if (skip_op("(")) {
    node = parse_tuple(false, true, "", true);
    expect_op(")");
    return node;
  }
  if (is_op("[")) return parse_list();
  if (is_op("{")) return parse_dict();
  error("expected an expression, found {}", describe(token));
}

// An expression, or several with commas between them: a tuple. `simplified`: names and literals
// only, for targets; `end`: a name that may end the tuple.
ExprPtr Parser::parse_tuple(bool simplified, bool with_conditional, std::string_view end,
                            bool parenthesized, bool with_namespace) {
  const Depth depth(depth_, max_depth_, name_, current().line);
  ExprPtr tuple = make(ExprKind::tuple, current().line);
  bool is_tuple = false;
  while (true) {
    if (!tuple->children.empty()) expect_op(",");
    if (current().type == TokenType::variable_end || current().type == TokenType::block_end ||
        is_op(")") || (!end.empty() && is_name(end))) {
      break;
    }
    add(*tuple, simplified ? parse_primary(with_namespace) : parse_expression(with_conditional));
    if (!is_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!tuple->children.empty()) return std::move(tuple->children[0]);
    if (!parenthesized) error("expected an expression, found {}", describe(current()));
  }
  return tuple;
}

ExprPtr Parser::parse_list() {
  ExprPtr node = make(ExprKind::list, current().line);
  expect_op("[");
  while (!is_op("]")) {
    if (!node->children.empty()) expect_op(",");
    if (is_op("]")) break;
    add(*node, parse_expression());
  }
  expect_op("]");
  return node;
}

ExprPtr Parser::parse_dict() {
  ExprPtr node = make(ExprKind::dict, current().line);
  expect_op("{");
  while (!is_op("}")) {
    if (!node->children.empty()) expect_op(",");
    if (is_op("}")) break;
    add(*node, parse_expression());
    expect_op(":");
    add(*node, parse_expression());
  }
  expect_op("}");
  return node;
}

ExprPtr Parser::parse_postfix(ExprPtr node) {
  while (true) {
    if (is_op(".") || is_op("[")) {
      node = parse_subscript(std::move(node));
    } else if (is_op("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::parse_filter_or_test(ExprPtr node) {
  while (true) {
    if (is_op("|")) {
      node = parse_filter(std::move(node));
    } else if (is_name("is")) {
      node = parse_test(std::move(node));
    } else if (is_op("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::parse_subscript(ExprPtr node) {
  const int line = current().line;
  if (skip_op(".")) {
    ExprPtr result = make(ExprKind::attribute, line);
    if (current().type == TokenType::integer) {
      result->kind = ExprKind::item;
      ExprPtr index = make(ExprKind::constant, line);
      index->value = Value(next().integer);
      add(*result, std::move(node));
      add(*result, std::move(index));
      return result;
    }
    result->name = expect_name();
    add(*result, std::move(node));
    return result;
  }
  expect_op("[");
  ExprPtr arguments = make(ExprKind::tuple, line);
  while (!is_op("]")) {
    if (!arguments->children.empty()) expect_op(",");
    add(*arguments, parse_subscribed());
  }
  expect_op("]");
  ExprPtr result = make(ExprKind::item, line);
  add(*result, std::move(node));
  add(*result,
      arguments->children.size() == 1 ? std::move(arguments->children[0]) : std::move(arguments));
  return result;
}

ExprPtr Parser::parse_subscribed() {
  const int line = current().line;
  ExprPtr start;
  if (!is_op(":")) {
    start = parse_expression();
    if (!is_op(":")) return start;
  }
  next();
  const auto part = [&]() -> ExprPtr {
    return is_op(":") || is_op("]") || is_op(",") ? nullptr : parse_expression();
  };
  ExprPtr node = make(ExprKind::slice, line);
  add(*node, std::move(start));
  add(*node, part());
  add(*node, skip_op(":") ? part() : nullptr);
  return node;
}

void Parser::parse_arguments(Expr& call) {
  expect_op("(");
  const auto ensure = [&](bool ok) {
    if (!ok) error("arguments out of order in a call");
  };
  const auto bounded = [&](ExprPtr value) {
    call.height = std::max(call.height, value->height + 1);
    if (call.height > max_depth_) error("an expression is nested more than {} deep", max_depth_);
    return value;
  };
  bool comma = false;
  while (!is_op(")")) {
    if (comma) {
      expect_op(",");
      if (is_op(")")) break;
    }
    if (skip_op("*")) {
      ensure(call.star == nullptr && call.star_star == nullptr);
      call.star = bounded(parse_expression());
    } else if (skip_op("**")) {
      ensure(call.star_star == nullptr);
      call.star_star = bounded(parse_expression());
    } else if (current().type == TokenType::name && look().type == TokenType::op &&
               look().text == "=") {
      ensure(call.star_star == nullptr);
      std::string name = next().text;
      next();
      for (const auto& other : call.named) {
        if (other.first == name) error("argument '{}' appears twice", name);
      }
      call.named.emplace_back(std::move(name), bounded(parse_expression()));
    } else {
      ensure(call.star == nullptr && call.star_star == nullptr && call.named.empty());
      add(call, parse_expression());
    }
    comma = true;
  }
  expect_op(")");
}

ExprPtr Parser::parse_call(ExprPtr node) {
  ExprPtr call = make(ExprKind::call, current().line);
  add(*call, std::move(node));
  parse_arguments(*call);
  return call;
}

ExprPtr Parser::parse_filter(ExprPtr node, bool start_inline) {
  while (start_inline || skip_op("|")) {
    start_inline = false;
    ExprPtr filter = make(ExprKind::filter, current().line);
    filter->name = expect_name();
    while (skip_op(".")) filter->name += "." + expect_name();
    note_unknown("filter", filter->name, is_filter(filter->name), filter->line);
    add(*filter, std::move(node));
    if (is_op("(")) parse_arguments(*filter);
    node = std::move(filter);
  }
  return node;
}

ExprPtr Parser::parse_test(ExprPtr node) {
  ExprPtr test = make(ExprKind::test, next().line);
  const bool negated = skip_name("not");
  test->name = expect_name();
  while (skip_op(".")) test->name += "." + expect_name();
  note_unknown("test", test->name, is_test(test->name), test->line);
  add(*test, std::move(node));
  const TokenType type = current().type;
  if (is_op("(")) {
    parse_arguments(*test);
  } else if ((type == TokenType::name || type == TokenType::string || type == TokenType::integer ||
              type == TokenType::floating || is_op("[") || is_op("{")) &&
             !is_name("else") && !is_name("or") && !is_name("and")) {
    if (is_name("is")) error("tests cannot be chained with 'is'");
    add(*test, parse_postfix(parse_primary()));
  }
  if (!negated) return test;
  ExprPtr result = make(ExprKind::logical_not, test->line);
  add(*result, std::move(test));
  return result;
}

void Parser::note_unknown(const char* kind, const std::string& name, bool known, int line) {
  if (known || soft_) return;
  unknown_.push_back(fmt::format("{}, line {}: unknown {} '{}'", name_, line, kind, name));
}

}  // namespace sumi::text::jinja

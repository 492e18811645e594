#include "text/jinja/parser.h"

#include <algorithm>

namespace sumi::text::jinja {

struct Parser::Nest {
  explicit Nest(Parser& owner) : parser(owner) {
    if (++parser.depth_ > parser.max_depth_) {
      parser.error("the template is nested more than {} deep", parser.max_depth_);
    }
  }
  ~Nest() { --parser.depth_; }
  Parser& parser;
};

Token Parser::next() {
  Token token = tokens_[position_];
  if (token.type != TokenType::end) ++position_;
  return token;
}

bool Parser::is_op(std::string_view op) const {
  return current().type == TokenType::op && current().text == op;
}
bool Parser::is_name(std::string_view name) const {
  return current().type == TokenType::name && current().text == name;
}
bool Parser::skip_op(std::string_view op) {
  if (!is_op(op)) return false;
  next();
  return true;
}
bool Parser::skip_name(std::string_view name) {
  if (!is_name(name)) return false;
  next();
  return true;
}
void Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) error("expected '{}', found {}", op, describe(current()));
}
std::string Parser::expect_name() {
  if (current().type != TokenType::name) {
    error("expected a name, found {}", describe(current()));
  }
  return next().text;
}
void Parser::expect_keyword(std::string_view name) {
  if (!skip_name(name)) error("expected '{}', found {}", name, describe(current()));
}

std::string Parser::describe(const Token& token) const {
  switch (token.type) {
    case TokenType::data:
      return "text";
    case TokenType::variable_begin:
      return "'{{'";
    case TokenType::variable_end:
      return "'}}'";
    case TokenType::block_begin:
      return "'{%'";
    case TokenType::block_end:
      return "'%}'";
    case TokenType::string:
      return "a string";
    case TokenType::integer:
      return "an integer";
    case TokenType::floating:
      return "a float";
    case TokenType::end:
      return "the end of the template";
    default:
      return "'" + token.text + "'";
  }
}

Block Parser::parse() {
  Block block = parse_block({});
  if (!unknown_.empty()) fail("{}", unknown_.front());
  return block;
}

Block Parser::parse_block(const std::vector<std::string_view>& ends) {
  const Nest nest(*this);
  Block block;
  while (current().type != TokenType::end) {
    auto stmt = std::make_unique<Stmt>();
    stmt->line = current().line;
    if (current().type == TokenType::data) {
      stmt->text = next().text;
    } else if (current().type == TokenType::variable_begin) {
      next();
      stmt->kind = StmtKind::output;
      stmt->value = parse_tuple(false, true, "", false);
      if (current().type != TokenType::variable_end) {
        error("expected '}}}}', found {}", describe(current()));
      }
      next();
    } else {
      next();
      if (current().type == TokenType::name &&
          std::find(ends.begin(), ends.end(), current().text) != ends.end()) {
        return block;
      }
      stmt = parse_statement();
      if (current().type != TokenType::block_end) {
        error("expected '%}}', found {}", describe(current()));
      }
      next();
    }
    if (stmt != nullptr) block.push_back(std::move(stmt));
  }
  if (!ends.empty()) error("expected '{}', found the end of the template", ends.back());
  return block;
}

// The body of a tag: its end `%}`, then statements up to the name of an end tag.
Block Parser::parse_body(const std::vector<std::string_view>& ends) {
  skip_op(":");
  if (current().type != TokenType::block_end) {
    error("expected '%}}', found {}", describe(current()));
  }
  next();
  return parse_block(ends);
}

std::unique_ptr<Stmt> Parser::parse_statement() {
  if (current().type != TokenType::name) error("expected a tag, found {}", describe(current()));
  auto stmt = std::make_unique<Stmt>();
  stmt->line = current().line;
  const std::string tag = current().text;
  if (tag == "if") {
    parse_if(*stmt);
    return stmt;
  }
  const bool soft = soft_;
  if (tag == "for") {
    parse_for(*stmt);
  } else if (tag == "set") {
    parse_set(*stmt);
  } else if (tag == "with") {
    parse_with(*stmt);
  } else if (tag == "macro" || tag == "call") {
    parse_macro_parts(*stmt, tag == "call");
  } else if (tag == "filter") {
    next();
    stmt->kind = StmtKind::filter_block;
    soft_ = false;
    stmt->value = parse_filter(nullptr, true);
    stmt->body = parse_body({"endfilter"});
    next();
  } else if (tag == "generation") {
    // transformers runs the body as a call block: a scope of its own, and no way to leave a loop
    // from it.
    next();
    stmt->kind = StmtKind::scope;
    const int loops = std::exchange(loops_, 0);
    soft_ = false;
    stmt->body = parse_body({"endgeneration"});
    loops_ = loops;
    next();
  } else if (tag == "print") {
    next();
    stmt->kind = StmtKind::output;
    stmt->value = make(ExprKind::concat, stmt->line);
    while (current().type != TokenType::block_end) {
      if (!stmt->value->children.empty()) expect_op(",");
      add(*stmt->value, parse_expression());
    }
  } else if (tag == "break" || tag == "continue") {
    next();
    if (loops_ == 0) error("'{}' outside a loop", tag);
    stmt->kind = tag == "break" ? StmtKind::break_loop : StmtKind::continue_loop;
  } else if (tag == "include" || tag == "import" || tag == "from" || tag == "extends" ||
             tag == "block" || tag == "autoescape") {
    error("unsupported tag '{}'", tag);
  } else {
    error("unknown tag '{}'", tag);
  }
  soft_ = soft;
  return stmt;
}

void Parser::parse_if(Stmt& stmt) {
  stmt.kind = StmtKind::conditional;
  const bool soft = std::exchange(soft_, true);
  while (true) {
    next();  // if, elif
    ExprPtr test = parse_tuple(false, false, "", false);
    Block body = parse_body({"elif", "else", "endif"});
    stmt.branches.emplace_back(std::move(test), std::move(body));
    if (!is_name("elif")) break;
  }
  if (next().text == "else") {
    stmt.body = parse_body({"endif"});
    next();
  }
  soft_ = soft;
}

void Parser::parse_for(Stmt& stmt) {
  next();
  stmt.kind = StmtKind::loop;
  ++loop_scopes_;
  stmt.target = parse_target("in", false);
  expect_keyword("in");
  stmt.value = parse_tuple(false, false, "recursive", false);
  soft_ = false;
  if (skip_name("if")) stmt.test = parse_expression();
  if (is_name("recursive")) error("unsupported: recursive loops");
  ++loops_;
  stmt.body = parse_body({"endfor", "else"});
  --loops_;
  if (next().text == "else") {
    stmt.otherwise = parse_body({"endfor"});
    next();
  }
  --loop_scopes_;
}

void Parser::parse_set(Stmt& stmt) {
  next();
  stmt.target = parse_target("", true);
  if (skip_op("=")) {
    stmt.kind = StmtKind::set;
    stmt.value = parse_tuple(false, true, "", false);
    return;
  }
  stmt.kind = StmtKind::set_block;
  soft_ = false;
  stmt.value = parse_filter(nullptr);
  stmt.body = parse_body({"endset"});
  next();
}

void Parser::parse_with(Stmt& stmt) {
  next();
  stmt.kind = StmtKind::with;
  soft_ = false;
  while (current().type != TokenType::block_end) {
    if (!stmt.targets.empty()) expect_op(",");
    stmt.targets.push_back(parse_target("", false));
    expect_op("=");
    stmt.values.push_back(parse_expression());
  }
  stmt.body = parse_body({"endwith"});
  next();
}

// macro NAME(...) ... endmacro, or call(...) f(...) ... endcall.
void Parser::parse_macro_parts(Stmt& stmt, bool call_block) {
  next();
  stmt.macro = std::make_unique<Macro>();
  Macro& macro = *stmt.macro;
  stmt.kind = call_block ? StmtKind::call_block : StmtKind::macro;
  if (call_block) {
    macro.name = "caller";
    if (is_op("(")) parse_signature(macro);
    stmt.value = parse_expression();
    if (stmt.value->kind != ExprKind::call) error("expected a call in the 'call' tag");
  } else {
    if (is_name("loop") && loop_scopes_ > 0) error("'loop' cannot be assigned inside a loop");
    macro.name = expect_name();
    parse_signature(macro);
  }
  const int loops = std::exchange(loops_, 0);
  soft_ = false;
  macros_.push_back(&macro);
  macro.body = parse_body({call_block ? "endcall" : "endmacro"});
  macros_.pop_back();
  loops_ = loops;
  next();
  const auto& names = macro.parameters;
  const auto caller = std::find(names.begin(), names.end(), "caller");
  if (macro.uses_caller && caller != names.end()) {
    const auto index = static_cast<size_t>(caller - names.begin());
    if (index + macro.defaults.size() < names.size()) {
      error("the parameter 'caller' must have a default");
    }
  }
  // A parameter of that name is an ordinary one.
  for (const auto& name : names) {
    if (name == "caller") macro.uses_caller = false;
    if (name == "kwargs") macro.uses_kwargs = false;
    if (name == "varargs") macro.uses_varargs = false;
  }
}

void Parser::parse_signature(Macro& macro) {
  expect_op("(");
  while (!is_op(")")) {
    if (!macro.parameters.empty()) expect_op(",");
    std::string name = expect_name();
    if (name == "true" || name == "false" || name == "none" || name == "True" || name == "False" ||
        name == "None") {
      error("cannot assign to '{}'", name);
    }
    if (std::find(macro.parameters.begin(), macro.parameters.end(), name) !=
        macro.parameters.end()) {
      error("parameter '{}' appears twice", name);
    }
    if (skip_op("=")) {
      macro.defaults.push_back(parse_expression());
    } else if (!macro.defaults.empty()) {
      error("parameter '{}' without default follows one with a default", name);
    }
    macro.parameters.push_back(std::move(name));
  }
  expect_op(")");
}

ExprPtr Parser::parse_target(std::string_view end, bool with_namespace) {
  ExprPtr target = parse_tuple(true, true, end, false, with_namespace);
  check_target(*target);
  return target;
}

void Parser::check_target(const Expr& target) {
  if (target.kind == ExprKind::tuple) {
    for (const auto& child : target.children) check_target(*child);
  } else if (target.kind == ExprKind::name) {
    if (target.name == "loop" && loop_scopes_ > 0) {
      error("'loop' cannot be assigned inside a loop");
    }
  } else if (target.kind != ExprKind::ns_ref) {
    error("cannot assign to this expression");
  }
}

}  // namespace sumi::text::jinja

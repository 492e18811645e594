// Tokens to tree, by the grammar of Jinja2 3.1 with loop controls and the `generation` tag.
#pragma once

#include <string>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace sumi::text::jinja {

class Parser {
 public:
  Parser(std::vector<Token> tokens, const std::string& name, int64_t max_depth)
      : tokens_(std::move(tokens)), name_(name), max_depth_(max_depth) {}

  // Throws Error "name, line N: ..." naming what is wrong or unknown.
  Block parse();

 private:
  struct Nest;  // counts depth for the life of a scope

  template <class... Args>
  [[noreturn]] void error(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}, line {}: {}", name_, current().line,
         fmt::format(format, std::forward<Args>(args)...));
  }

  const Token& current() const { return tokens_[position_]; }
  const Token& look() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  Token next();
  bool is_op(std::string_view op) const;
  bool is_name(std::string_view name) const;
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_op(std::string_view op);
  std::string expect_name();
  void expect_keyword(std::string_view name);
  std::string describe(const Token& token) const;

  // Statements (parser.cc). Blocks end at one of the names given, which stays the current token.
  Block parse_block(const std::vector<std::string_view>& ends);
  Block parse_body(const std::vector<std::string_view>& ends);
  std::unique_ptr<Stmt> parse_statement();
  void parse_if(Stmt& stmt);
  void parse_for(Stmt& stmt);
  void parse_set(Stmt& stmt);
  void parse_with(Stmt& stmt);
  void parse_macro_parts(Stmt& stmt, bool call_block);
  void parse_signature(Macro& macro);
  ExprPtr parse_target(std::string_view end, bool with_namespace);
  void check_target(const Expr& target);

  // Expressions (parse_expression.cc).
  ExprPtr make(ExprKind kind, int line) const;
  void add(Expr& parent, ExprPtr child) const;  // null children are kept
  ExprPtr parse_expression(bool with_conditional = true);
  ExprPtr parse_conditional();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filter = true);
  ExprPtr parse_primary(bool with_namespace = false);
  ExprPtr parse_tuple(bool simplified, bool with_conditional, std::string_view end,
                      bool parenthesized, bool with_namespace = false);
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr node);
  ExprPtr parse_filter_or_test(ExprPtr node);
  ExprPtr parse_subscript(ExprPtr node);
  ExprPtr parse_subscribed();
  void parse_arguments(Expr& call);
  ExprPtr parse_call(ExprPtr node);
  ExprPtr parse_filter(ExprPtr node, bool start_inline = false);
  ExprPtr parse_test(ExprPtr node);
  void note_unknown(const char* kind, const std::string& name, bool known, int line);

  std::vector<Token> tokens_;
  const std::string& name_;
  const int64_t max_depth_;
  size_t position_ = 0;
  int64_t depth_ = 0;
  int loops_ = 0;        // loops around, inside the innermost macro
  int loop_scopes_ = 0;  // all loops around
  bool soft_ =
      false;  // directly inside an `if`: unknown filters fail only when reached, as in Jinja2
  std::vector<std::string> unknown_;  // messages about unknown filters and tests
  std::vector<Macro*> macros_;        // macros around
};

}  // namespace sumi::text::jinja

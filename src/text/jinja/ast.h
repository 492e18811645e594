// The parsed template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace sumi::text::jinja {

enum class ExprKind {
  constant,     // value
  name,         // name
  ns_ref,       // name.text, only as a target of set
  tuple,        // children
  list,         // children
  dict,         // children: key, value, key, value ...
  negate,       // children[0]
  plus,         // children[0]
  logical_not,  // children[0]
  binary,       // children[0] text children[1]; text is + - * / // % **
  concat,       // children
  logical_and,  // children[0], children[1]
  logical_or,   // children[0], children[1]
  compare,      // children[0] ops[0] children[1] ops[1] ...
  conditional,  // children: test, value, and the other value if there is an else
  filter,       // name; children[0] (null in filter blocks), then the arguments
  test,         // name; children[0], then the arguments
  attribute,    // children[0].name
  item,         // children[0][children[1]]
  slice,        // children: start, stop, step, each may be null
  call          // children[0], then the arguments
};

struct Expr {
  ExprKind kind = ExprKind::constant;
  int line = 0;
  int height = 1;  // of the tree below, bounded by TemplateLimits::depth
  std::string name, text;
  Value value;
  std::vector<std::unique_ptr<Expr>> children;
  std::vector<std::string> ops;
  std::vector<std::pair<std::string, std::unique_ptr<Expr>>> named;  // keyword arguments
  std::unique_ptr<Expr> star, star_star;                             // *args, **kwargs
};
using ExprPtr = std::unique_ptr<Expr>;

enum class StmtKind {
  text,          // text
  output,        // value
  conditional,   // branches; body is the else
  loop,          // target, value, test (may be null); body, otherwise
  set,           // target, value
  set_block,     // target, value (a filter or null), body
  macro,         // name, macro
  call_block,    // value (a call), macro
  filter_block,  // value (a filter), body
  with,          // targets, values, body
  scope,         // body in a scope of its own (generation)
  break_loop,
  continue_loop
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

struct Macro {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Block body;
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
};

struct Stmt {
  StmtKind kind = StmtKind::text;
  int line = 0;
  std::string text;
  ExprPtr target, value, test;
  Block body, otherwise;
  std::vector<std::pair<ExprPtr, Block>> branches;
  std::vector<ExprPtr> targets, values;
  std::unique_ptr<Macro> macro;
};

}  // namespace sumi::text::jinja

// Splits a template into text and the tokens of its tags, as Jinja2 does with trim_blocks and
// lstrip_blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sumi::text::jinja {

enum class TokenType {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  floating,
  op,
  end
};

struct Token {
  TokenType type = TokenType::end;
  int line = 1;
  std::string text;  // of data, name and op; the value of a string
  int64_t integer = 0;
  double floating = 0;
};

// `source` is valid UTF-8. Throws Error "name, line N: ..."; the last token is `end`.
std::vector<Token> tokenize(const std::string& source, const std::string& name);

}  // namespace sumi::text::jinja

// Rows of an embedding's table or of a head for tokens that a checkpoint does not have, or has without
// having learned them.
#pragma once

#include <algorithm>
#include <functional>
#include <string>

#include "tensor/tensor.h"

namespace sumi::nn {

struct TokenRows {
  int64_t begin = 0;  // id of the first token; the others follow it
  Tensor rows;        // [n, C] f32, or undefined: none

  bool defined() const { return rows.defined(); }
  int64_t end() const { return defined() ? begin + rows.size(0) : 0; }
};

// What a module ("model.embed_tokens", "lm_head") with the table [V, C] shall have instead of the rows
// there, or after the last of them (begin <= V).
using TokenRowSource = std::function<TokenRows(const std::string& module, const Tensor& table)>;

}  // namespace sumi::nn

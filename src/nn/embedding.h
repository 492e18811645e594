// Rows of a table by id.
#pragma once

#include "nn/token_rows.h"
#include "ops/embedding.h"
#include "ops/token_rows.h"

namespace sumi::nn {

// For inference the table stays as stored in the mapped file: only the rows that are asked for are
// read.
class Embedding {
 public:
  Embedding() = default;
  // table [V, C]; added rows stand before, or come after, those there.
  explicit Embedding(Tensor table, TokenRows added = {})
      : table_(std::move(table)), added_(std::move(added)) {}

  bool defined() const { return table_.defined(); }
  const Tensor& table() const { return table_; }
  const TokenRows& added() const { return added_; }
  int64_t tokens() const { return std::max(table_.size(0), added_.end()); }
  Tensor operator()(const Tensor& ids) const {
    return added_.defined() ? ops::embedding(ids, table_, added_.begin, added_.rows)
                            : ops::embedding(ids, table_);
  }

 private:
  Tensor table_;
  TokenRows added_;
};

}  // namespace sumi::nn

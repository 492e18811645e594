// Rows of a table by id.
#pragma once

#include "ops/embedding.h"

namespace sumi::nn {

// For inference the table stays as stored in the mapped file: only the rows that are asked for are
// read.
class Embedding {
 public:
  Embedding() = default;
  explicit Embedding(Tensor table) : table_(std::move(table)) {}  // [V, C]

  bool defined() const { return table_.defined(); }
  const Tensor& table() const { return table_; }
  Tensor operator()(const Tensor& ids) const { return ops::embedding(ids, table_); }

 private:
  Tensor table_;
};

}  // namespace sumi::nn

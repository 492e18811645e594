// Token merging (arXiv:2303.17604): similar pixels of a picture are attended to as one. Inference only.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::ops {

// Which tokens of x [B, height * width, C] (f32 or bf16) go together. Of each 2x2 pixels one, which depends on its place
// alone, is a destination. floor(ratio * height * width) of the others, those whose cosine with their most similar
// destination is the largest, are merged with it; of equals the first ones. Deterministic.
class TokenMerging {
 public:
  // ratio is 0 to 0.75, the share of tokens that may merge. Throws Error for another, other shapes or if gradients are
  // recorded.
  TokenMerging(const Tensor& x, int64_t height, int64_t width, double ratio);

  int64_t tokens() const { return tokens_; }  // after merging
  // [B, N, C] -> [B, tokens(), C], in the order of the first of each: means of what was merged.
  Tensor merge(const Tensor& x) const;
  // [B, tokens(), C] -> [B, N, C]: each token gets its group's row.
  Tensor unmerge(const Tensor& y) const;
  // [B * N]: the row of its picture that each token becomes.
  const std::vector<int32_t>& rows() const { return rows_; }
  // The tokens of a picture that others merge with, in rising order.
  static std::vector<int32_t> destinations(int64_t height, int64_t width);

 private:
  int64_t batch_ = 0, all_ = 0, tokens_ = 0;
  std::vector<int32_t> rows_;
};

}  // namespace sumi::ops

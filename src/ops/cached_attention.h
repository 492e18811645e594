// Attention over a key/value cache kept in pages, for inference.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ops/attention.h"
#include "tensor/tensor.h"

namespace sumi::ops {

// Keys and values of one layer and one sequence, in pages of kPage positions. In a page, each key/value head's
// keys lie transposed [D, kPage] (scores are computed for many keys at once) and its values [kPage, D]. Copies
// share their pages; one that both have and one appends to is copied then.
class KvCache {
 public:
  static constexpr int64_t kPage = 64;

  KvCache(int64_t num_kv_heads, int64_t head_dim);

  int64_t length() const { return length_; }
  int64_t num_kv_heads() const { return heads_; }
  int64_t head_dim() const { return head_dim_; }
  // Appends k and v [T, Hkv, D] (f32).
  void append(const Tensor& k, const Tensor& v);
  // Forgets all but the first `length` positions.
  void truncate(int64_t length);
  size_t bytes() const;

  const std::vector<std::shared_ptr<float>>& pages() const { return pages_; }
  int64_t page_floats() const { return 2 * heads_ * head_dim_ * kPage; }

 private:
  int64_t heads_, head_dim_, length_ = 0;
  std::vector<std::shared_ptr<float>> pages_;
};

// q [T, H, D], whose query 0 stands at position options.query_offset -> [T, H, D]. Causal: the cache must already
// hold that position and the ones after it up to T - 1 further. Not causal: every query sees all that is cached.
// Bit-identical however queries are cut into calls and whatever the number of threads: each query goes through the
// pages in order.
Tensor cached_attention(const Tensor& q, const KvCache& cache, const AttentionOptions& options);

}  // namespace sumi::ops

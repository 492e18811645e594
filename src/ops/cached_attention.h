// Attention over a key/value cache kept in pages, for inference.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ops/attention.h"
#include "tensor/tensor.h"

namespace sumi::ops {

// Keys and values of one layer and one sequence, in pages of kPage positions. In a page of f32, each key/value head's
// keys lie transposed [D, kPage] (scores are computed for many keys at once) and its values [kPage, D]; those
// of bf16 lie as kernels/attention.h says. Copies share their pages; one that both have and one appends to is copied then.
class KvCache {
 public:
  static constexpr int64_t kPage = 64;

  // Elements: f32, or bf16 where bf16_cache_runs().
  KvCache(int64_t num_kv_heads, int64_t head_dim, DType dtype = DType::f32);

  int64_t length() const { return length_; }
  int64_t num_kv_heads() const { return heads_; }
  int64_t head_dim() const { return head_dim_; }
  DType dtype() const { return dtype_; }
  // Appends k and v [T, Hkv, D] (f32).
  void append(const Tensor& k, const Tensor& v);
  // Forgets all but the first `length` positions.
  void truncate(int64_t length);
  size_t bytes() const;

  const std::vector<std::shared_ptr<std::byte>>& pages() const { return pages_; }
  // Elements of a head's keys and of its values in a page.
  int64_t page_keys() const;
  int64_t page_values() const;
  size_t page_bytes() const;

 private:
  void put_f32(const float* keys, const float* values, int64_t begin, int64_t count, int64_t head);
  void put_bf16(const float* keys, const float* values, int64_t begin, int64_t count, int64_t head);
  template <class Element>
  Element* head_in_page(int64_t position, int64_t head) const;

  int64_t heads_, head_dim_, length_ = 0;
  DType dtype_;
  std::vector<std::shared_ptr<std::byte>> pages_;
};

// Whether this processor attends to keys and values in bf16: twice as fast as to f32 (with tiles, many times), in half the memory.
// Queries and weights are rounded to bf16, too.
bool bf16_cache_runs();

// What models keep keys and values in: bf16 where it runs and the model's products round their operands anyhow.
DType cache_dtype(bool products_round);

// q [T, H, D], whose query 0 stands at position options.query_offset -> [T, H, D]. Causal: the cache must already
// hold that position and the ones after it up to T - 1 further. Not causal: every query sees all that is cached.
// Bit-identical however queries are cut into calls and whatever the number of threads: each query goes through the
// pages in order.
Tensor cached_attention(const Tensor& q, const KvCache& cache, const AttentionOptions& options);

}  // namespace sumi::ops

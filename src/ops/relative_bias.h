// Biases of attention scores by distance, as T5 has them (arXiv:1910.10683, section 2.1).
#pragma once

#include "tensor/tensor.h"

namespace sumi::ops {

struct RelativeBuckets {
  int64_t count = 32;          // of the table
  int64_t max_distance = 128;  // from here on all distances share a bucket
  // Keys after the query have the upper half of the buckets; else they share the bucket of distance
  // 0.
  bool both_sides = true;
};

// The bucket of key position - query position: one per distance at first, then ever wider ones, as
// in transformers' T5Attention._relative_position_bucket.
int64_t relative_bucket(int64_t distance, const RelativeBuckets& buckets);

// table [count, H] f32 -> [H, 2 reach - 1]: column reach - 1 + d is the table's row for distance d.
// Differentiable.
Tensor relative_bias(const Tensor& table, const RelativeBuckets& buckets, int64_t reach);

}  // namespace sumi::ops

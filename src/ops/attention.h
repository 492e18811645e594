// Scaled dot-product attention, computed in blocks of keys with a running softmax
// (arXiv:2205.14135), so no [T, S] matrix is ever in memory.
#pragma once

#include <vector>

#include "ops/linear.h"
#include "tensor/tensor.h"

namespace sumi::ops {

struct AttentionOptions {
  float scale = 1;           // usually 1 / sqrt(D)
  bool causal = true;        // query t sees key s only if s <= t + query_offset
  int64_t query_offset = 0;  // position of query 0 among the keys
  int64_t prefix = 0;        // every query sees the keys before this one, too
  int64_t window = 0;        // > 0: only the last `window` keys, itself included
  // [B, T] i32: query t sees only keys from first_keys[b, t] on, which must not fall along t. Keeps
  // texts apart that lie one after the other in a sequence.
  Tensor first_keys = {};
  float softcap = 0;         // > 0: scores become cap tanh(score / cap)
  // [H]: score += slope * (s - (t + query_offset)), arXiv:2108.12409
  std::vector<float> alibi_slopes = {};
  // [H, 2R - 1]: score += bias[h, R - 1 + s - (t + query_offset)], for distances below R. Gets a
  // gradient (ops/relative_bias.h makes it).
  Tensor distance_bias = {};
  // Of the backward, where the processor has tiles; the forward's are f32.
  Products products = Products::f32;
  // bf16 pictures: products in int8, where the processor has a fast way to form them (kernels/picture_attention.h).
  bool int8 = false;
};

// q [B, T, H, D], k and v [B, S, Hkv, D] with H a multiple of Hkv -> [B, T, H, D]. Query head h
// uses key head h / (H / Hkv). A query that may see no key gives zeros.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionOptions& options);

}  // namespace sumi::ops

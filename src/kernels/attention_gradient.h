// The gradient of attention with products in bf16 (kernels/bf16_product.h), for training.
#pragma once

#include <cstdint>

namespace sumi::kernels {

// One query head. Rows of q, out, g and dq are q_row floats apart, those of k and v kv_row, of dk and dv dkv_row.
struct AttentionGradient {
  int64_t queries = 0, keys = 0, head_dim = 0;
  float scale = 1;
  const float *q = nullptr, *k = nullptr, *v = nullptr, *out = nullptr, *g = nullptr;
  int64_t q_row = 0, kv_row = 0, dkv_row = 0;
  const float* log_sum_exp = nullptr;  // [queries] of the scaled scores; -infinity where no key is seen
  // Query t sees keys [first[t], end[t]); neither falls along t.
  const int64_t *first = nullptr, *end = nullptr;
  float *dq = nullptr, *dk = nullptr, *dv = nullptr;  // the gradients are added
};

bool has_attention_gradient();  // for this processor

// With P = exp(S - lse), dP = dO V^T and delta = sum(dO O) per query: dS = P (dP - delta), dV = P^T dO, dK = dS^T Q,
// dQ = dS K (arXiv:2205.14135, appendix B). Operands of products are rounded to bf16, sums are f32. On one thread.
void attention_gradient(const AttentionGradient& head);

}  // namespace sumi::kernels

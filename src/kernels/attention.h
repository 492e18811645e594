// Attention of a few queries over a key/value cache in pages, for inference. Layout of a page: ops/cached_attention.h.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

inline constexpr int kAttentionPage = 64;   // positions in a page
inline constexpr int kAttentionRows = 32;   // most query rows in one call

// A head's keys and values in a page whose elements are bf16, in pairs as tiles (AMX) and vectors multiply them; zeros where no
// position is and behind the head's size D:
//   keys   [keys_size / 2][kAttentionPage][2], keys_size = D rounded up to 32; a pair is two elements of the head
//   values [kAttentionPage / 2][values_size][2], values_size = D rounded up to 16; a pair is two positions
constexpr int64_t attention_keys_size(int64_t head_dim) { return (head_dim + 31) / 32 * 32; }
constexpr int64_t attention_values_size(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

// Up to kAttentionRows query rows that read the same key/value head.
struct CachedAttentionArgs {
  int64_t rows = 0, head_dim = 0;
  const float* q[kAttentionRows] = {};       // [head_dim] each, already scaled
  float* out[kAttentionRows] = {};           // [head_dim] each
  int64_t first[kAttentionRows] = {};        // keys [first, last] are seen
  int64_t last[kAttentionRows] = {};
  float slope[kAttentionRows] = {};          // ALiBi: score += slope * (key - last)
  const float* bias[kAttentionRows] = {};    // score += bias[key], if not null
  float softcap = 0;                         // > 0: score = softcap tanh(score / softcap)
  const void* const* keys = nullptr;         // per page: f32 [head_dim, kAttentionPage], or bf16 as above
  const void* const* values = nullptr;       // per page: f32 [kAttentionPage, head_dim], or bf16 as above
  float* scratch = nullptr;                  // aligned to 64, attention_scratch(head_dim) floats
};

constexpr int64_t attention_scratch(int64_t head_dim) {
  return kAttentionRows * (2 * kAttentionPage + attention_values_size(head_dim) + attention_keys_size(head_dim));
}

struct AttentionKernels {
  void (*cached)(const CachedAttentionArgs& args);
};

// Attention over pages in bf16: queries and weights are rounded to bf16, too. A query's result does not depend on the
// other rows. Null: this level has none.
using CachedBf16Attention = void (*)(const CachedAttentionArgs& args);
CachedBf16Attention cached_bf16_attention();
CachedBf16Attention cached_bf16_attention_for(base::Isa isa);

const AttentionKernels& attention_kernels();
const AttentionKernels& attention_kernels_for(base::Isa isa);

}  // namespace sumi::kernels

// Attention of a few queries over a key/value cache in pages, for inference. Layout of a page: ops/cached_attention.h.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

inline constexpr int kAttentionPage = 64;   // positions in a page
inline constexpr int kAttentionRows = 8;    // most query rows in one call

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
  const float* const* keys = nullptr;        // per page: [head_dim, kAttentionPage]
  const float* const* values = nullptr;      // per page: [kAttentionPage, head_dim]
  float* scratch = nullptr;                  // kAttentionRows * (kAttentionPage + head_dim + 16) floats
};

struct AttentionKernels {
  void (*cached)(const CachedAttentionArgs& args);
};

const AttentionKernels& attention_kernels();
const AttentionKernels& attention_kernels_for(base::Isa isa);

}  // namespace sumi::kernels

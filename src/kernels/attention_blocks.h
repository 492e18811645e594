// Softmax attention of a block of queries of one head over all keys (no mask), with a running
// maximum (arXiv:2205.14135). Lanes of a vector are queries: keys and values are read where they
// lie, one element broadcast at a time, and maxima and sums need no reduction across lanes.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

struct AttentionBlock {
  int64_t queries = 0, keys = 0, head_dim = 0;  // queries: any number up to the kernel's block
  float scale = 1;
  const float* q = nullptr;  // rows are q_row floats apart; likewise below
  int64_t q_row = 0;
  const float *k = nullptr, *v = nullptr;
  int64_t kv_row = 0;
  float* out = nullptr;
  int64_t out_row = 0;
  float* log_sum_exp = nullptr;  // [queries] of the scaled scores, or null
  float* scratch = nullptr;      // scratch_floats(head_dim)
};

struct AttentionBlockKernels {
  int64_t block;  // most queries in a call
  int64_t (*scratch_floats)(int64_t head_dim);
  // A query's bits do not depend on the others in its block.
  void (*attend)(const AttentionBlock& args);
};

const AttentionBlockKernels& attention_block_kernels();  // for base::active_isa()
const AttentionBlockKernels& attention_block_kernels_for(base::Isa isa);

}  // namespace sumi::kernels

// Softmax attention of pictures from AVX-512 VNNI on, in AMX tiles or in vectors: bf16 queries, keys and
// values, every query sees every key. As kernels/attention_blocks.h, with queries as columns: scores [keys, queries] = K Q^T,
// then out [d, queries] = V^T weights, with a running maximum (arXiv:2205.14135). Sums are f32, weights are rounded to bf16.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

struct PictureAttentionKernels {
  static constexpr int64_t kQueries = 32;  // at a time
  static constexpr int64_t kKeys = 128;
  static constexpr int64_t kMostCodes = 256;  // numbers of a head at most in int8

  struct Packing {  // of one head
    const uint16_t *k = nullptr, *v = nullptr;
    int64_t row = 0;  // elements from a key to the next
    int64_t keys = 0, head_dim = 0;
    std::byte* to = nullptr;  // packed_bytes
  };
  struct Block {
    const std::byte* packed = nullptr;
    int64_t keys = 0, head_dim = 0;
    float scale = 1;
    const uint16_t* q = nullptr;
    uint16_t* out = nullptr;
    int64_t q_row = 0, out_row = 0;
    int64_t queries = 0;  // any number
    std::byte* scratch = nullptr;  // scratch_bytes, aligned to 64 bytes
  };

  int64_t (*packed_bytes)(int64_t keys, int64_t head_dim);
  int64_t (*scratch_bytes)(int64_t head_dim);
  void (*pack)(const Packing& args);
  // A query's bits do not depend on the others.
  void (*attend)(const Block& args);
};

// All null at lower levels.
const PictureAttentionKernels& picture_attention_kernels();  // for base::active_isa()
const PictureAttentionKernels& picture_attention_kernels_for(base::Isa isa);

// The same with products in int8 (heads of up to kMostCodes numbers): queries with a scale for each, keys with one for a block
// of kKeys, after their mean is taken off all of them, which changes no weight; values less the middle of their range with a
// scale for each element; weights in 255 steps to the largest of a block. All null where int8 is not multiplied in vectors
// beside bf16, or tiles do more.
const PictureAttentionKernels& picture_code_attention_kernels();
const PictureAttentionKernels& picture_code_attention_kernels_for(base::Isa isa);

}  // namespace sumi::kernels

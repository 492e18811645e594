// Rotary position embedding, arXiv:2104.09864, and the scalings that stretch it to longer contexts.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::ops {

enum class RopeScaling { none, linear, dynamic, llama3, yarn };
enum class RopePairs {
  halves,      // element i turns with i + rotary_dim / 2 (GPT-NeoX, LLaMA in Hugging Face files)
  neighbours,  // element 2i turns with 2i + 1 (GPT-J, LLaMA in GGUF files)
};

// Field names and meanings as in transformers' rope_scaling / rope_parameters
// (modeling_rope_utils.py).
struct RopeOptions {
  int64_t rotary_dim = 0;  // the first rotary_dim elements of a head turn, the rest pass
  double theta = 10000;
  RopePairs pairs = RopePairs::halves;
  RopeScaling scaling = RopeScaling::none;
  double factor = 1;
  int64_t original_max_positions = 0;                // dynamic, llama3, yarn
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 0;                       // yarn; 0: from factor (and the mscales)
  double mscale = 0, mscale_all_dim = 0;             // yarn
  bool truncate = true;                              // yarn
  // GGUF's rope_freqs.weight: divides each frequency; may be empty.
  std::vector<float> frequency_factors = {};
};

// Angular frequencies [rotary_dim / 2] for a sequence that reaches max_position positions (this
// matters to `dynamic` only), and the factor that multiplies cos and sin.
struct RopeFrequencies {
  std::vector<float> inverse;
  float magnitude = 1;
};
RopeFrequencies rope_frequencies(const RopeOptions& options, int64_t max_position);

// Turns x [B, T, H, D] by positions [T] or [B, T] (i32).
Tensor rope(const Tensor& x, const Tensor& positions, const RopeFrequencies& frequencies,
            RopePairs pairs);

}  // namespace sumi::ops

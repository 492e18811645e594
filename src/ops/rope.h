// Rotary position embedding, arXiv:2104.09864, and the scalings that stretch it to longer contexts.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::ops {

enum class RopeScaling { none, linear, dynamic, llama3, yarn, longrope };
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
  int64_t original_max_positions = 0;                // all below
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 0;            // yarn, longrope; 0: from factor (and the mscales)
  double mscale = 0, mscale_all_dim = 0;  // yarn
  bool truncate = true;                   // yarn
  // longrope (arXiv:2402.13753): frequencies are divided by the short ones, or by the long ones
  // once a sequence outgrows original_max_positions. [rotary_dim / 2] each.
  std::vector<float> short_factors = {}, long_factors = {};
  // GGUF's rope_freqs.weight: divides each frequency; may be empty.
  std::vector<float> frequency_factors = {};
};

// Whether frequencies depend on how long a sequence is.
inline bool rope_depends_on_length(const RopeOptions& options) {
  return options.scaling == RopeScaling::dynamic || options.scaling == RopeScaling::longrope;
}

// Angular frequencies [rotary_dim / 2] for a sequence that reaches max_position positions, and the
// factor that multiplies cos and sin.
struct RopeFrequencies {
  std::vector<float> inverse;
  float magnitude = 1;
};
RopeFrequencies rope_frequencies(const RopeOptions& options, int64_t max_position);

// Turns x [B, T, H, D] by positions [T] or [B, T] (i32).
Tensor rope(const Tensor& x, const Tensor& positions, const RopeFrequencies& frequencies,
            RopePairs pairs);

}  // namespace sumi::ops

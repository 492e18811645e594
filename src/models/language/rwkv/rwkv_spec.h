// What distinguishes one RWKV-4 (Pile, Raven, World) from another, as data.
#pragma once

#include <cstdint>

#include "formats/tensor_source.h"
#include "models/language/config.h"

namespace sumi::models {

struct RwkvSpec {
  int64_t vocab_size = 0, hidden_size = 0, num_layers = 0;
  int64_t attention_size = 0;     // channels of the wkv recurrence
  int64_t intermediate_size = 0;  // of the channel mixing
  int64_t trained_length = 0;     // 0: the files do not say. No limit to what the model can read
  float norm_eps = 1e-5f;         // of the layers; the last norm's is always 1e-5
  // transformers halves the hidden state after each this many layers (for the range of f16), which
  // only the epsilons of the norms can notice. 0: never.
  int64_t rescale_every = 0;
  bool tied_head = false;
  bool original_names = false;  // "blocks.0.att.time_mix_k", as in the author's .pth files
};

// Reads config.json of model_type rwkv. Throws Error naming file and key.
bool is_rwkv(const Config& config);
RwkvSpec rwkv_spec(const Config& config);

// The author's files have no configuration: names and shapes tell all. Throws Error naming the
// tensor that is missing, or the version (RWKV-5 to 7) that cannot be run.
bool is_rwkv(const formats::TensorSource& source);
RwkvSpec rwkv_spec(const formats::TensorSource& source);

}  // namespace sumi::models

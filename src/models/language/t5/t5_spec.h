// What distinguishes one model of the T5 family from another (T5, Flan-T5, T5 v1.1, mT5, UMT5,
// UL2), as data.
#pragma once

#include <cstdint>

#include "models/language/config.h"
#include "ops/activation.h"
#include "ops/relative_bias.h"

namespace sumi::models {

struct T5Spec {
  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0;
  int64_t num_heads = 0, head_dim = 0;  // num_heads * head_dim may differ from hidden_size
  int64_t encoder_layers = 0, decoder_layers = 0;  // decoder_layers 0: an encoder alone
  ops::RelativeBuckets buckets;  // both_sides as the encoder has it; the decoder's is one-sided
  bool bias_per_layer = false;   // UMT5; else the first layer's biases serve all
  ops::Activation activation = ops::Activation::relu;
  bool gated_mlp = false;
  float norm_eps = 1e-6f;
  bool tied_head = true;     // the head is the embedding's table
  float output_scale = 1;    // of the decoder's output before the head
  int32_t start_id = 0;      // the decoder's first token
  // What files call the context. Biases by distance have no end: nothing depends on it.
  int64_t trained_length = 512;
};

// 1 / sqrt(hidden_size): T5's own output_scale where the head is the embedding's table.
float tied_output_scale(const T5Spec& spec);

// Reads config.json of model_type t5, mt5 or umt5. Throws Error naming file and key.
T5Spec t5_spec(const Config& config);
bool is_t5(const Config& config);

}  // namespace sumi::models

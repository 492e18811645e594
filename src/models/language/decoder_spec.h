// What distinguishes one decoder-only transformer from another, as data. A family file (families/)
// turns a configuration into this struct; decoder.cc is driven by it alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/norm.h"
#include "ops/activation.h"
#include "ops/rope.h"

namespace sumi::models {

enum class NormPlace {
  before,  // x + f(norm(x)): GPT-2 and nearly all since
  after,   // norm(x + f(x)): the first transformers, OPT-350M
  around,  // x + norm'(f(norm(x))): Gemma 2, GLM-4
  output,  // x + norm(f(x)): OLMo 2
  trunk,   // a y + f(y) with y = norm(x): ChatGLM-6B, which calls a = sqrt(2 layers) alpha
};

enum class Positions { rope, learned, alibi, none };

// Norms of queries and keys before RoPE.
enum class QueryKeyNorm {
  none,
  heads,  // RMS norm of each head (Qwen3, Gemma 3)
  all,    // the model's kind of norm over all heads together (MPT)
};

struct DecoderSpec {
  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0, num_layers = 0;
  int64_t num_heads = 0, num_kv_heads = 0, head_dim = 0;  // num_heads is a multiple of num_kv_heads
  int64_t max_positions = 0;
  // Width of the embedding and the head; if neither 0 nor hidden_size, matrices without bias lie
  // between them and the layers (OPT-350M).
  int64_t embedding_size = 0;

  nn::NormKind norm = nn::NormKind::rms;
  NormPlace norm_place = NormPlace::before;
  float norm_eps = 1e-5f;
  float norm_offset = 0;  // RMS norms multiply by weight + norm_offset (Gemma: 1)
  bool norm_weight = true;
  bool norm_bias = false;  // layer norms
  bool final_norm = true;
  bool embedding_norm = false;  // a norm right after the embedding (BLOOM)
  QueryKeyNorm query_key_norm = QueryKeyNorm::none;

  // x + attention(norm1(x)) + mlp(norm2(x)), both from the same x (GPT-NeoX). With one_norm, norm1
  // serves both (GPT-J, Phi, Falcon).
  bool parallel_residual = false, one_norm = false;

  Positions positions = Positions::rope;
  int64_t position_offset = 0;  // learned: row of position 0 (OPT: 2)
  ops::RopeOptions rope;
  ops::RopeOptions local_rope;  // of layers with a window, if its rotary_dim is not 0 (Gemma 3)
  std::vector<bool>
      rope_layers;  // which layers rotate at all; empty: all (SmolLM3 leaves some out)
  float alibi_max =
      8;  // the exponent of the last slope of a power of two heads (MPT's alibi_bias_max)
  bool alibi_scaled = false;  // slopes are scaled with the scores (Falcon)

  // True where every layer has that bias.
  bool qkv_bias = false, attention_output_bias = false, mlp_bias = false, head_bias = false;

  ops::Activation activation = ops::Activation::silu;
  bool gated_mlp = true;  // down(activation(gate(x)) * up(x)), else down(activation(up(x)))

  float attention_scale = 0;              // of query times key; 0: 1 / sqrt(head_dim)
  bool attention_scale_by_layer = false;  // further divided by layer index + 1 (a GPT-2 option)
  float attention_softcap = 0, logit_softcap = 0;  // cap tanh(x / cap); 0: none
  float embedding_scale = 1, residual_scale = 1;   // of the embedding; of what each branch adds
  float trunk_scale = 1;                           // NormPlace::trunk: a
  float logit_scale = 1;
  float clip_qkv = 0;  // queries, keys and values are cut to [-clip_qkv, clip_qkv]; 0: not (MPT)
  // Keys a query may see, itself included, per layer; 0: all; empty: all of them 0.
  std::vector<int64_t> windows;
  bool tied_head = false;       // the head is the embedding's table
  bool unit_head_rows = false;  // the head's rows are divided by their length (Baichuan 2)

  // A prompt in two parts (GLM, arXiv:2103.10360): what stands before the token start_id is the
  // prefix, whose tokens see each other whatever their order; start_id and what follows see it and
  // what came before them. The first half of each head rotates by the place in the prefix, and
  // after it by that of the token mask_id; the second half by the place after the prefix, from 1.
  bool has_prefix = false;
  int32_t mask_id = 0, start_id = 0;

  // Encoders (BERT): every position sees all others, there is no head, and each token has a type,
  // always the first here.
  bool causal = true, has_head = true;
  int64_t token_types = 0;  // rows of the table of types; 0: none
  std::vector<std::string>
      unused_weights;  // beginnings of names of weights for other tasks, without the prefix

  bool projects_embedding() const { return embedding_size != 0 && embedding_size != hidden_size; }
  int64_t embedding_width() const { return embedding_size != 0 ? embedding_size : hidden_size; }
};

// Checks every number for sanity and against the others, before anything is allocated. Throws Error
// that names `file` and the field.
void check_spec(const DecoderSpec& spec, const std::string& file);

// Slope of each head's linear bias, arXiv:2108.12409: a geometric sequence for a power of two
// heads, else that of the power below and every other one of the power above. The last is
// 2^-alibi_max.
std::vector<float> alibi_slopes(int64_t num_heads, float alibi_max = 8);

}  // namespace sumi::models

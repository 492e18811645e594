// Families of decoder-only transformers: a family file holds its table of weight names and turns a
// configuration into a DecoderSpec. To add one, write families/<name>.cc and list it in
// families/families.cc.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "models/language/config.h"
#include "models/language/decoder_spec.h"
#include "models/language/weight_names.h"

namespace sumi::models {

struct Family {
  const char* name;
  std::vector<const char*> architectures;  // config.json: an entry of "architectures"
  std::vector<const char*> model_types;    // config.json: "model_type", when there is no such entry
  std::vector<const char*> gguf_architectures;  // GGUF: general.architecture
  WeightTable weights;
  DecoderSpec (*from_config)(const Config& config);
  DecoderSpec (*from_gguf)(const formats::GgufFile& file);
  // Where families share the names in config.json, those with a condition come first; null: none.
  bool (*condition)(const Config& config) = nullptr;
  const char* gguf_written = nullptr;  // general.architecture of files written, if not the first
  // How many times intermediate_size GGUF's feed_forward_length is, and how many times its
  // context_length our max_positions (ALiBi goes on beyond the training's).
  int64_t gguf_mlp_widths = 1, gguf_stretch = 1;
  bool gguf_windows = false;    // llama.cpp obeys the windows of this architecture
};

const std::vector<Family>& families();

// Throws Error that lists the known ones.
const Family& family_for(const Config& config);
const Family& family_for(const formats::GgufFile& file);

// Throws Error if config.json announces weights in a form that is not known.
void check_runnable(const Config& config);

// What nearly all families share, under the keys of config.json's and GGUF's own conventions; a
// family changes what differs. common_spec(config) reads vocab_size, hidden_size,
// intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim,
// max_position_embeddings, rms_norm_eps, hidden_act, tie_word_embeddings (false if absent) and the
// RoPE keys.
DecoderSpec common_spec(const Config& config);
DecoderSpec common_spec(const formats::GgufFile& file);

// The same under GPT-2's keys (n_embd, n_layer, n_head, n_positions, n_inner, layer_norm_epsilon,
// activation_function), with layer norms and a plain MLP; for GPT-2's relatives.
DecoderSpec gpt_spec(const Config& config);
// Layer norms with biases and an MLP without gate, as before LLaMA.
void use_layer_norms(DecoderSpec& spec);
// hidden_size / num_heads. Throws Error if that is no whole number.
int64_t default_head_dim(const DecoderSpec& spec, const std::string& file);

// spec.windows from layer_types where the configuration has them, else `window` where
// slides(layer).
void read_layer_windows(const Config& config, DecoderSpec& spec, int64_t window,
                        const std::function<bool(int64_t)>& slides);

// "<architecture>.<name>", GGUF's key for a hyperparameter.
std::string gguf_key(const formats::GgufFile& file, const std::string& name);
// True if layer 0 has the tensor, e.g. "attn_q.bias".
bool gguf_layer_has(const formats::GgufFile& file, const std::string& name);

// rope_theta, rope_scaling or rope_parameters, partial_rotary_factor. Sets spec.rope, and
// spec.max_positions to the stretched context. Needs spec.head_dim and spec.max_positions.
void read_rope(const Config& config, DecoderSpec& spec);
void read_rope(const formats::GgufFile& file, DecoderSpec& spec);

}  // namespace sumi::models

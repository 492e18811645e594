#include "models/language/decoder_spec.h"

#include <cmath>

#include "base/error.h"

namespace sumi::models {

namespace {

void check_range(const std::string& file, const char* field, int64_t value, int64_t low,
                 int64_t high) {
  if (value < low || value > high)
    fail("{}: {} is {}, expected {} to {}", file, field, value, low, high);
}

void check_finite(const std::string& file, const char* field, double value) {
  if (!std::isfinite(value)) fail("{}: {} is {}, expected a finite number", file, field, value);
}

void check_positive(const std::string& file, const char* field, double value) {
  if (!std::isfinite(value) || value <= 0)
    fail("{}: {} is {}, expected a positive number", file, field, value);
}

void check_rope(const DecoderSpec& spec, const ops::RopeOptions& rope, const std::string& file) {
  check_range(file, "the number of rotated elements of a head", rope.rotary_dim, 2, spec.head_dim);
  if (rope.rotary_dim % 2 != 0)
    fail("{}: {} elements of a head are rotated, expected an even number", file, rope.rotary_dim);
  check_positive(file, "rope_theta", rope.theta);
  if (rope.scaling == ops::RopeScaling::none) return;
  check_positive(file, "the RoPE scaling factor", rope.factor);
  if (rope.scaling == ops::RopeScaling::linear) return;
  check_range(file, "RoPE's original_max_position_embeddings", rope.original_max_positions, 1,
              int64_t{1} << 30);
  if (rope.scaling == ops::RopeScaling::llama3) {
    check_positive(file, "RoPE's low_freq_factor", rope.low_freq_factor);
    check_positive(file, "RoPE's high_freq_factor", rope.high_freq_factor);
    if (rope.low_freq_factor >= rope.high_freq_factor)
      fail("{}: RoPE's low_freq_factor {} is not below high_freq_factor {}", file,
           rope.low_freq_factor, rope.high_freq_factor);
  }
  if (rope.scaling == ops::RopeScaling::longrope)
    for (const std::vector<float>* factors : {&rope.short_factors, &rope.long_factors}) {
      if (static_cast<int64_t>(factors->size()) != rope.rotary_dim / 2)
        fail("{}: RoPE has {} short or long factors, expected {}", file, factors->size(),
             rope.rotary_dim / 2);
      for (const float factor : *factors)
        check_positive(file, "RoPE's short or long factor", factor);
    }
  if (rope.scaling == ops::RopeScaling::yarn) {
    check_positive(file, "RoPE's beta_fast", rope.beta_fast);
    check_positive(file, "RoPE's beta_slow", rope.beta_slow);
    check_finite(file, "RoPE's attention_factor", rope.attention_factor);
  }
}

}  // namespace

void check_spec(const DecoderSpec& spec, const std::string& file) {
  // The bounds are far above any real model, and low enough that products of two fit easily in
  // int64.
  check_range(file, "vocab_size", spec.vocab_size, 1, int64_t{1} << 24);
  check_range(file, "hidden_size", spec.hidden_size, 1, int64_t{1} << 18);
  check_range(file, "the width of the embedding", spec.embedding_size, 0, int64_t{1} << 18);
  check_range(file, "intermediate_size", spec.intermediate_size, 1, int64_t{1} << 20);
  check_range(file, "the number of layers", spec.num_layers, 1, 4096);
  check_range(file, "the number of attention heads", spec.num_heads, 1, 4096);
  check_range(file, "the number of key/value heads", spec.num_kv_heads, 1, spec.num_heads);
  check_range(file, "head_dim", spec.head_dim, 1, 4096);
  check_range(file, "the size of all heads", spec.num_heads * spec.head_dim, 1, int64_t{1} << 20);
  check_range(file, "the number of positions", spec.max_positions, 1, int64_t{1} << 30);
  if (spec.num_heads % spec.num_kv_heads != 0)
    fail("{}: {} attention heads are not a multiple of {} key/value heads", file, spec.num_heads,
         spec.num_kv_heads);
  check_positive(file, "the norm's epsilon", spec.norm_eps);
  check_finite(file, "the attention scale", spec.attention_scale);
  check_finite(file, "the attention soft-cap", spec.attention_softcap);
  check_finite(file, "the logit soft-cap", spec.logit_softcap);
  check_finite(file, "clip_qkv", spec.clip_qkv);
  check_finite(file, "the embedding scale", spec.embedding_scale);
  check_finite(file, "the residual scale", spec.residual_scale);
  check_finite(file, "the trunk's scale", spec.trunk_scale);
  check_finite(file, "the logit scale", spec.logit_scale);
  if (spec.positions == Positions::rope) {
    check_rope(spec, spec.rope, file);
    if (spec.local_rope.rotary_dim != 0) check_rope(spec, spec.local_rope, file);
  }
  if (spec.has_prefix) {
    check_range(file, "the id of the prefix's mask", spec.mask_id, 0, spec.vocab_size - 1);
    check_range(file, "the id that ends the prefix", spec.start_id, 0, spec.vocab_size - 1);
    if (spec.positions != Positions::rope || spec.head_dim % 4 != 0 ||
        spec.rope.rotary_dim != spec.head_dim / 2)
      fail("{}: positions in two dimensions rotate both halves of a head_dim that 4 divides", file);
  }
  if (spec.positions == Positions::alibi)
    check_positive(file, "ALiBi's largest exponent", spec.alibi_max);
  if (!spec.rope_layers.empty() && static_cast<int64_t>(spec.rope_layers.size()) != spec.num_layers)
    fail("{}: rotation is given for {} layers, expected {}", file, spec.rope_layers.size(),
         spec.num_layers);
  if (!spec.windows.empty() && static_cast<int64_t>(spec.windows.size()) != spec.num_layers)
    fail("{}: attention windows for {} layers, expected {}", file, spec.windows.size(),
         spec.num_layers);
  check_range(file, "type_vocab_size", spec.token_types, 0, int64_t{1} << 16);
  for (const int64_t window : spec.windows)
    check_range(file, "sliding_window", window, 0, int64_t{1} << 30);
}

std::vector<float> alibi_slopes(int64_t num_heads, float alibi_max) {
  int64_t power = 1;
  while (power * 2 <= num_heads) power *= 2;
  std::vector<float> slopes;
  for (int64_t i = 0; i < num_heads; ++i) {
    const double step =
        i < power ? static_cast<double>(i + 1) : static_cast<double>(2 * (i - power) + 1) / 2;
    slopes.push_back(static_cast<float>(std::exp2(-alibi_max * step / static_cast<double>(power))));
  }
  return slopes;
}

}  // namespace sumi::models

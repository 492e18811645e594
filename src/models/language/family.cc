#include "models/language/family.h"

#include <algorithm>
#include <functional>

#include "base/error.h"

namespace sumi::models {

namespace {

// A context stretched by `factor`. Files may say anything: a product out of range changes nothing
// here, and check_spec() names the factor.
int64_t stretched(int64_t positions, double factor) {
  const double result = static_cast<double>(positions) * factor;
  return result >= 1 && result < 1e9 ? static_cast<int64_t>(result) : positions;
}

}  // namespace

int64_t default_head_dim(const DecoderSpec& spec, const std::string& file) {
  if (spec.num_heads < 1 || spec.hidden_size % spec.num_heads != 0)
    fail("{}: hidden size {} is not a multiple of {} attention heads", file, spec.hidden_size,
         spec.num_heads);
  return spec.hidden_size / spec.num_heads;
}

void check_runnable(const Config& config) {
  if (config.has("quantization_config"))
    fail(
        "{}: quantization_config: quantized Hugging Face checkpoints are not known; give the "
        "original or a GGUF file",
        config.file());
}

DecoderSpec gpt_spec(const Config& config) {
  DecoderSpec spec;
  spec.vocab_size = config.get_int("vocab_size");
  spec.hidden_size = config.get_int("n_embd");
  spec.num_layers = config.get_int("n_layer");
  spec.num_heads = spec.num_kv_heads = config.get_int("n_head");
  spec.head_dim = default_head_dim(spec, config.file());
  spec.max_positions = config.get_int("n_positions", 1024);
  spec.intermediate_size = config.has("n_inner") ? config.get_int("n_inner") : 4 * spec.hidden_size;
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_epsilon", 1e-5));
  spec.activation = config.get_activation("activation_function", "gelu_new");
  use_layer_norms(spec);
  return spec;
}

void use_layer_norms(DecoderSpec& spec) {
  spec.norm = nn::NormKind::layer;
  spec.norm_bias = true;
  spec.gated_mlp = false;
}

void read_layer_windows(const Config& config, DecoderSpec& spec, int64_t window,
                        const std::function<bool(int64_t)>& slides) {
  const std::vector<std::string> types = config.get_strings("layer_types");
  if (!types.empty() && static_cast<int64_t>(types.size()) != spec.num_layers)
    fail("{}: layer_types has {} entries, expected {}", config.file(), types.size(),
         spec.num_layers);
  spec.windows.clear();
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    bool sliding = types.empty() && slides(layer);
    if (!types.empty()) {
      const std::string& type = types[static_cast<size_t>(layer)];
      sliding = type == "sliding_attention";
      if (!sliding && type != "full_attention")
        fail("{}: layer_types: expected full_attention or sliding_attention, found {}",
             config.file(), type);
    }
    spec.windows.push_back(sliding ? window : 0);
  }
}

std::string gguf_key(const formats::GgufFile& file, const std::string& name) {
  return file.get_string("general.architecture") + "." + name;
}

bool gguf_layer_has(const formats::GgufFile& file, const std::string& name) {
  return file.has("blk.0." + name);
}

DecoderSpec common_spec(const Config& config) {
  DecoderSpec spec;
  spec.vocab_size = config.get_int("vocab_size");
  spec.hidden_size = config.get_int("hidden_size");
  spec.intermediate_size = config.get_int("intermediate_size");
  spec.num_layers = config.get_int("num_hidden_layers");
  spec.num_heads = config.get_int("num_attention_heads");
  spec.num_kv_heads = config.get_int("num_key_value_heads", spec.num_heads);
  spec.head_dim =
      config.has("head_dim") ? config.get_int("head_dim") : default_head_dim(spec, config.file());
  spec.max_positions = config.get_int("max_position_embeddings", 2048);
  spec.norm_eps = static_cast<float>(config.get_float("rms_norm_eps", 1e-6));
  spec.activation = config.get_activation("hidden_act", "silu");
  spec.tied_head = config.get_bool("tie_word_embeddings", false);
  read_rope(config, spec);
  return spec;
}

DecoderSpec common_spec(const formats::GgufFile& file) {
  const auto key = [&](const char* name) { return gguf_key(file, name); };
  DecoderSpec spec;
  const Tensor table = file.get("token_embd.weight");
  if (table.dim() != 2)
    fail("{}: tensor token_embd.weight: expected 2 axes, found shape {}", file.describe(),
         tensor::shape_string(table.shape()));
  spec.vocab_size = table.size(0);
  spec.hidden_size = file.get_int(key("embedding_length"));
  spec.intermediate_size = file.get_int(key("feed_forward_length"));
  spec.num_layers = file.get_int(key("block_count"));
  spec.num_heads = file.get_int(key("attention.head_count"));
  spec.num_kv_heads = file.get_int(key("attention.head_count_kv"), spec.num_heads);
  spec.head_dim = file.has_key(key("attention.key_length"))
                      ? file.get_int(key("attention.key_length"))
                      : default_head_dim(spec, file.describe());
  if (file.get_int(key("attention.value_length"), spec.head_dim) != spec.head_dim)
    fail("{}: {} differs from the key length {}", file.describe(), key("attention.value_length"),
         spec.head_dim);
  spec.max_positions = file.get_int(key("context_length"));
  spec.norm_eps = static_cast<float>(file.has_key(key("attention.layer_norm_rms_epsilon"))
                                         ? file.get_float(key("attention.layer_norm_rms_epsilon"))
                                         : file.get_float(key("attention.layer_norm_epsilon")));
  spec.tied_head = !file.has("output.weight");
  read_rope(file, spec);
  return spec;
}

void read_rope(const Config& config, DecoderSpec& spec) {
  ops::RopeOptions& rope = spec.rope;
  const char* key = config.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  Config scaling =
      config.has(key) ? config.get_object(key) : Config(nlohmann::json::object(), config.file());
  if (scaling.has("full_attention")) {  // one for each kind of layer
    if (scaling.has("sliding_attention")) {
      const Config local = scaling.get_object("sliding_attention");
      if (local.get_string("rope_type", "default") != "default")
        fail("{}: rope_type: expected default", local.file());
      spec.local_rope.theta = local.get_float("rope_theta", 10000.0);
      spec.local_rope.rotary_dim = spec.head_dim;
    }
    scaling = scaling.get_object("full_attention");
  }
  rope.theta = scaling.get_float("rope_theta", config.get_float("rope_theta", 10000.0));
  const double partial =
      scaling.get_float("partial_rotary_factor", config.get_float("partial_rotary_factor", 1.0));
  if (!(partial > 0 && partial <= 1))
    fail("{}: partial_rotary_factor is {}, expected more than 0 and at most 1", config.file(),
         partial);
  rope.rotary_dim = static_cast<int64_t>(static_cast<double>(spec.head_dim) * partial);

  const std::string type = scaling.get_string("rope_type", scaling.get_string("type", "default"));
  if (type == "default") return;
  const int64_t max_positions = spec.max_positions;
  if (type == "longrope" || type == "su") {
    rope.scaling = ops::RopeScaling::longrope;
    rope.short_factors = scaling.get_floats("short_factor");
    rope.long_factors = scaling.get_floats("long_factor");
    rope.original_max_positions =
        config.get_int("original_max_position_embeddings",
                       scaling.get_int("original_max_position_embeddings", max_positions));
    rope.factor = scaling.get_float(
        "factor", static_cast<double>(max_positions) /
                      static_cast<double>(std::max<int64_t>(1, rope.original_max_positions)));
    rope.attention_factor = scaling.get_float("attention_factor", 0);
    return;
  }
  if (type != "linear" && type != "dynamic" && type != "llama3" && type != "yarn")
    fail(
        "{}: rope type \"{}\" is not known; known: default, linear, dynamic, llama3, yarn, "
        "longrope",
        scaling.file(), type);
  if (type == "yarn" && !scaling.has("factor")) {
    rope.factor = static_cast<double>(max_positions) /
                  static_cast<double>(scaling.get_int("original_max_position_embeddings"));
  } else {
    rope.factor = scaling.get_float("factor");
  }
  if (type == "linear") {
    rope.scaling = ops::RopeScaling::linear;
    spec.max_positions = stretched(max_positions, rope.factor);
  } else if (type == "dynamic") {
    rope.scaling = ops::RopeScaling::dynamic;
    rope.original_max_positions = max_positions;
    spec.max_positions = stretched(max_positions, rope.factor);
  } else {
    rope.original_max_positions =
        config.get_int("original_max_position_embeddings",
                       scaling.get_int("original_max_position_embeddings", max_positions));
    if (type == "llama3") {
      rope.scaling = ops::RopeScaling::llama3;
      rope.low_freq_factor = scaling.get_float("low_freq_factor");
      rope.high_freq_factor = scaling.get_float("high_freq_factor");
      return;
    }
    rope.scaling = ops::RopeScaling::yarn;
    rope.beta_fast = scaling.get_float("beta_fast", 32);
    rope.beta_slow = scaling.get_float("beta_slow", 1);
    rope.attention_factor = scaling.get_float("attention_factor", 0);
    rope.mscale = scaling.get_float("mscale", 0);
    rope.mscale_all_dim = scaling.get_float("mscale_all_dim", 0);
    rope.truncate = scaling.get_bool("truncate", true);
    spec.max_positions =
        std::max(max_positions, stretched(rope.original_max_positions, rope.factor));
  }
}

void read_rope(const formats::GgufFile& file, DecoderSpec& spec) {
  const auto key = [&](const char* name) { return gguf_key(file, name); };
  ops::RopeOptions& rope = spec.rope;
  rope.rotary_dim = file.get_int(key("rope.dimension_count"), spec.head_dim);
  rope.theta = file.get_float(key("rope.freq_base"), 10000.0);
  if (file.has("rope_freqs.weight")) {
    const Tensor factors = file.get("rope_freqs.weight");
    if (factors.shape() != Shape{rope.rotary_dim / 2} || factors.dtype() != DType::f32)
      fail("{}: tensor rope_freqs.weight: expected f32 of shape [{}], found {} of shape {}",
           file.describe(), rope.rotary_dim / 2, dtype_name(factors.dtype()),
           tensor::shape_string(factors.shape()));
    rope.frequency_factors.assign(factors.f32(), factors.f32() + factors.numel());
    for (const float factor : rope.frequency_factors)
      if (!(factor > 0))
        fail("{}: tensor rope_freqs.weight holds {}, expected positive factors", file.describe(),
             factor);
  }
  const std::string type = file.get_string(key("rope.scaling.type"), "none");
  if (type == "none") {
    const double linear = file.get_float(key("rope.scale_linear"), 1.0);  // files of 2023
    if (linear == 1.0) return;
    rope.scaling = ops::RopeScaling::linear;
    rope.factor = linear;
  } else if (type == "linear") {
    rope.scaling = ops::RopeScaling::linear;
    rope.factor = file.get_float(key("rope.scaling.factor"));
  } else if (type == "yarn") {
    rope.scaling = ops::RopeScaling::yarn;
    rope.factor = file.get_float(key("rope.scaling.factor"));
    rope.original_max_positions =
        file.get_int(key("rope.scaling.original_context_length"), spec.max_positions);
    rope.beta_fast = file.get_float(key("rope.scaling.yarn_beta_fast"), 32);
    rope.beta_slow = file.get_float(key("rope.scaling.yarn_beta_slow"), 1);
  } else {
    fail("{}: {} \"{}\" is not known; known: none, linear, yarn", file.describe(),
         key("rope.scaling.type"), type);
  }
}

}  // namespace sumi::models

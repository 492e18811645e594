#include "models/language/t5/t5_spec.h"

#include <cmath>

#include "base/error.h"

namespace sumi::models {

namespace {

constexpr int64_t kMost = int64_t{1} << 24;  // of any size

int64_t size_of(const Config& config, const char* key, int64_t least = 1) {
  const int64_t value = config.get_int(key);
  if (value < least || value > kMost)
    fail("{}: {}: expected {} to {}, found {}", config.file(), key, least, kMost, value);
  return value;
}

}  // namespace

float tied_output_scale(const T5Spec& spec) {
  return 1 / std::sqrt(static_cast<float>(spec.hidden_size));
}

bool is_t5(const Config& config) {
  const std::string type = config.get_string("model_type", "");
  return type == "t5" || type == "mt5" || type == "umt5";
}

T5Spec t5_spec(const Config& config) {
  T5Spec spec;
  spec.vocab_size = size_of(config, "vocab_size");
  spec.hidden_size = size_of(config, "d_model");
  spec.intermediate_size = size_of(config, "d_ff");
  spec.num_heads = size_of(config, "num_heads");
  spec.head_dim = size_of(config, "d_kv");
  spec.encoder_layers = size_of(config, "num_layers");
  spec.decoder_layers = config.has("num_decoder_layers") ? size_of(config, "num_decoder_layers")
                                                         : spec.encoder_layers;
  for (const std::string& architecture : config.get_strings("architectures")) {
    const size_t end = architecture.find("EncoderModel");
    if (end != std::string::npos)
      spec.decoder_layers = 0;
    else if (architecture.find("ForConditionalGeneration") == std::string::npos &&
             architecture.find("WithLMHeadModel") == std::string::npos)
      fail(
          "{}: architectures: {} is not known; T5ForConditionalGeneration and T5EncoderModel (and "
          "MT5, UMT5) are",
          config.file(), architecture);
  }
  spec.buckets.count = config.get_int("relative_attention_num_buckets", 32);
  spec.buckets.max_distance = config.get_int("relative_attention_max_distance", 128);
  if (spec.buckets.count < 4 || spec.buckets.count > 65536 || spec.buckets.count % 4 != 0)
    fail("{}: relative_attention_num_buckets: expected a multiple of 4, up to 65536, found {}",
         config.file(), spec.buckets.count);
  if (spec.buckets.max_distance <= spec.buckets.count / 2 || spec.buckets.max_distance > kMost)
    fail("{}: relative_attention_max_distance: expected {} to {}, found {}", config.file(),
         spec.buckets.count / 2 + 1, kMost, spec.buckets.max_distance);
  spec.bias_per_layer = config.get_string("model_type", "") == "umt5";
  // "relu", "gated-gelu" ...; gated-gelu means the tanh form, as in transformers' T5Config.
  const bool multilingual = config.get_string("model_type", "") != "t5";
  std::string kind = config.get_string("feed_forward_proj", multilingual ? "gated-gelu" : "relu");
  spec.gated_mlp = kind.rfind("gated-", 0) == 0;
  if (kind == "gated-gelu") kind = "gated-gelu_new";
  spec.activation = ops::activation_from_name(spec.gated_mlp ? kind.substr(6) : kind,
                                              config.file() + ": feed_forward_proj");
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_epsilon", 1e-6));
  // In T5's own files one key says two things.
  spec.tied_head = config.get_bool("tie_word_embeddings", !multilingual);
  if (spec.tied_head) spec.output_scale = tied_output_scale(spec);
  if (config.has("n_positions")) spec.trained_length = size_of(config, "n_positions");
  const int64_t start = config.get_int("decoder_start_token_id", config.get_int("pad_token_id", 0));
  if (start < 0 || start >= spec.vocab_size)
    fail("{}: decoder_start_token_id: expected 0 to {}, found {}", config.file(),
         spec.vocab_size - 1, start);
  spec.start_id = static_cast<int32_t>(start);
  return spec;
}

}  // namespace sumi::models

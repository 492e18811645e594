#include "models/language/hf_config.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "models/language/gguf_metadata.h"

namespace sumi::models {

namespace {

using Json = nlohmann::ordered_json;
using ops::RopeScaling;

// 1e-05 and not 9.999999747378752e-06.
double shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

const char* activation_name(ops::Activation kind) {
  switch (kind) {
    case ops::Activation::silu:
      return "silu";
    case ops::Activation::gelu:
      return "gelu";
    case ops::Activation::gelu_tanh:
      return "gelu_pytorch_tanh";
    case ops::Activation::relu:
      return "relu";
    default:
      return "unknown";  // no GGUF architecture that Sumi reads has others
  }
}

Json rope_scaling(const DecoderSpec& spec) {
  const ops::RopeOptions& rope = spec.rope;
  switch (rope.scaling) {
    case RopeScaling::linear:
      return {{"rope_type", "linear"}, {"factor", rope.factor}};
    case RopeScaling::yarn:
      return {{"rope_type", "yarn"},
              {"factor", rope.factor},
              {"original_max_position_embeddings", rope.original_max_positions},
              {"beta_fast", rope.beta_fast},
              {"beta_slow", rope.beta_slow}};
    case RopeScaling::longrope:
      return {{"rope_type", "longrope"},
              {"short_factor", rope.short_factors},
              {"long_factor", rope.long_factors},
              {"attention_factor", rope.attention_factor}};
    case RopeScaling::none:
      // The factors of LLaMA 3 are written out in GGUF; all its models have these other numbers.
      if (!rope.frequency_factors.empty())
        return {{"rope_type", "llama3"},
                {"factor", shortest(*std::max_element(rope.frequency_factors.begin(),
                                                      rope.frequency_factors.end()))},
                {"low_freq_factor", 1.0},
                {"high_freq_factor", 4.0},
                {"original_max_position_embeddings", 8192}};
      return nullptr;
    default:
      return nullptr;  // GGUF has no others
  }
}

void write_windows(const DecoderSpec& spec, Json& config) {
  const auto largest = std::max_element(spec.windows.begin(), spec.windows.end());
  if (largest == spec.windows.end() || *largest == 0) {
    config["sliding_window"] = nullptr;
    return;
  }
  config["sliding_window"] = *largest;
  config["use_sliding_window"] = true;
  if (std::count(spec.windows.begin(), spec.windows.end(), 0) == 0) return;
  for (const int64_t window : spec.windows)
    config["layer_types"].push_back(window > 0 ? "sliding_attention" : "full_attention");
}

// What Gemma has and others have not.
void write_gemma(const DecoderSpec& spec, Json& config) {
  config["hidden_activation"] = activation_name(spec.activation);
  const float scale = spec.attention_scale;
  config["query_pre_attn_scalar"] =
      scale > 0 ? std::round(1 / (scale * scale)) : static_cast<double>(spec.head_dim);
  const auto cap = [](float value) { return value > 0 ? Json(shortest(value)) : Json(nullptr); };
  config["attn_logit_softcapping"] = cap(spec.attention_softcap);
  config["final_logit_softcapping"] = cap(spec.logit_softcap);
  if (spec.local_rope.rotary_dim > 0) config["rope_local_base_freq"] = spec.local_rope.theta;
}

Json write_config(const DecoderSpec& spec, const Family& family) {
  Json config;
  config["architectures"] = {family.architectures[0]};
  config["model_type"] = family.model_types[0];
  config["vocab_size"] = spec.vocab_size;
  config["hidden_size"] = spec.hidden_size;
  config["intermediate_size"] = spec.intermediate_size;
  config["num_hidden_layers"] = spec.num_layers;
  config["num_attention_heads"] = spec.num_heads;
  config["num_key_value_heads"] = spec.num_kv_heads;
  config["head_dim"] = spec.head_dim;
  const bool linear = spec.rope.scaling == RopeScaling::linear;
  config["max_position_embeddings"] =
      linear ? std::llround(static_cast<double>(spec.max_positions) / spec.rope.factor)
             : spec.max_positions;
  if (spec.norm == nn::NormKind::rms) {
    config["rms_norm_eps"] = shortest(spec.norm_eps);
  } else {
    config["layer_norm_eps"] = shortest(spec.norm_eps);
    config["norm_epsilon"] = shortest(spec.norm_eps);  // StarCoder2's name for it
  }
  config["hidden_act"] = activation_name(spec.activation);
  config["tie_word_embeddings"] = spec.tied_head;
  config["attention_bias"] = spec.qkv_bias;
  config["mlp_bias"] = spec.mlp_bias;
  config["use_bias"] = spec.mlp_bias;
  if (spec.clip_qkv > 0) config["clip_qkv"] = shortest(spec.clip_qkv);
  config["rope_theta"] = spec.rope.theta;
  if (spec.rope.rotary_dim != spec.head_dim)
    config["partial_rotary_factor"] =
        static_cast<double>(spec.rope.rotary_dim) / static_cast<double>(spec.head_dim);
  const Json scaling = rope_scaling(spec);
  if (!scaling.is_null()) config["rope_scaling"] = scaling;
  if (spec.rope.scaling == RopeScaling::longrope)
    config["original_max_position_embeddings"] = spec.rope.original_max_positions;
  for (const bool rotates : spec.rope_layers) config["no_rope_layers"].push_back(rotates ? 1 : 0);
  write_windows(spec, config);
  if (spec.embedding_scale != 1) write_gemma(spec, config);
  return config;
}

bool reads(const Family& family, const std::string& architecture) {
  if (family.gguf_written && architecture == family.gguf_written) return true;
  return std::any_of(family.gguf_architectures.begin(), family.gguf_architectures.end(),
                     [&](const char* name) { return architecture == name; });
}

}  // namespace

HuggingFaceConfig hugging_face_config(const DecoderSpec& spec, const std::string& architecture,
                                      const std::string& source) {
  std::string first_difference;
  for (const Family& family : families()) {
    if (!reads(family, architecture)) continue;
    HuggingFaceConfig result{&family, write_config(spec, family), {}};
    std::string difference;
    try {
      const Config config(nlohmann::json::parse(result.json.dump()), "config.json");
      result.spec = family.from_config(config);
      // Most families stretch the number by the scaling's factor, some give what it reaches.
      if (result.spec.max_positions != spec.max_positions) {
        result.json["max_position_embeddings"] = spec.max_positions;
        result.spec =
            family.from_config(Config(nlohmann::json::parse(result.json.dump()), "config.json"));
      }
      DecoderSpec expected = spec;
      expected.norm_offset = result.spec.norm_offset;  // GGUF's norms have it added
      difference = spec_difference(expected, result.spec);
    } catch (const Error& error) {  // the family's configuration has other keys
      difference = error.what();
    }
    if (difference.empty()) return result;
    if (first_difference.empty()) first_difference = difference;
  }
  fail("{}: writing a config.json for the architecture {} is not known: {}", source, architecture,
       first_difference);
}

}  // namespace sumi::models

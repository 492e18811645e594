#include "models/encoders/clip.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "formats/weights_folder.h"
#include "models/language/family.h"
#include "ops/embedding.h"
#include "ops/shape.h"

namespace sumi::models {

namespace {

constexpr const char* kProjection = "text_projection";

DecoderSpec clip_spec(const Config& config) {
  DecoderSpec spec;
  spec.vocab_size = config.get_int("vocab_size");
  spec.hidden_size = config.get_int("hidden_size");
  spec.intermediate_size = config.get_int("intermediate_size");
  spec.num_layers = config.get_int("num_hidden_layers");
  spec.num_heads = spec.num_kv_heads = config.get_int("num_attention_heads");
  spec.head_dim = default_head_dim(spec, config.file());
  spec.max_positions = config.get_int("max_position_embeddings", 77);
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_eps", 1e-5));
  spec.activation = config.get_activation("hidden_act", "quick_gelu");
  use_layer_norms(spec);
  spec.positions = Positions::learned;
  spec.has_head = false;
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = true;
  spec.unused_weights = {"embeddings.position_ids", kProjection};
  return spec;
}

WeightTable clip_weights() {
  return {
      {Slot::token_embedding, "text_model.embeddings.token_embedding", nullptr},
      {Slot::position_embedding, "text_model.embeddings.position_embedding", nullptr},
      {Slot::attention_norm, "text_model.encoder.layers.{}.layer_norm1", nullptr},
      {Slot::query, "text_model.encoder.layers.{}.self_attn.q_proj", nullptr},
      {Slot::key, "text_model.encoder.layers.{}.self_attn.k_proj", nullptr},
      {Slot::value, "text_model.encoder.layers.{}.self_attn.v_proj", nullptr},
      {Slot::attention_output, "text_model.encoder.layers.{}.self_attn.out_proj", nullptr},
      {Slot::mlp_norm, "text_model.encoder.layers.{}.layer_norm2", nullptr},
      {Slot::up, "text_model.encoder.layers.{}.mlp.fc1", nullptr},
      {Slot::down, "text_model.encoder.layers.{}.mlp.fc2", nullptr},
      {Slot::final_norm, "text_model.final_layer_norm", nullptr},
  };
}

// Whether the architecture has a projection. Throws Error on another model's configuration.
bool projects(const Config& config) {
  const std::vector<std::string> architectures = config.get_strings("architectures");
  for (const std::string& name : architectures) {
    if (name == "CLIPTextModelWithProjection") return true;
    if (name == "CLIPTextModel" || name == "CLIPModel") return false;
  }
  if (architectures.empty() && config.get_string("model_type", "") == "clip_text_model")
    return false;
  fail("{}: architectures: expected CLIPTextModel or CLIPTextModelWithProjection, found {}",
       config.file(), architectures.empty() ? "none" : architectures[0]);
}

// Checks what clip_spec() does not read.
DecoderSpec checked_spec(const Config& config) {
  if (config.get_bool("use_attention_mask", false))
    fail("{}: use_attention_mask: masks of padding are not known", config.file());
  DecoderSpec spec = clip_spec(config);
  check_spec(spec, config.file());
  return spec;
}

}  // namespace

void ClipText::check(const Config& config) {
  projects(config);
  checked_spec(config);
}

ClipText ClipText::open(const std::string& folder, const nn::LoadOptions& options) {
  const Config config = Config::read(folder + "/config.json");
  return ClipText(config, *formats::open_weights_folder(folder), options);
}

ClipText::ClipText(const Config& config, const formats::TensorSource& source,
                   const nn::LoadOptions& options) {
  const bool projected = projects(config);
  const DecoderSpec spec = checked_spec(config);
  eos_id_ = config.get_int("eos_token_id", 49407);
  decoder_ = std::make_unique<Decoder>(spec, clip_weights(), source, false, options);
  for (const auto& [name, parameter] : decoder_->parameters()) parameters_.add(name, parameter);
  weight_bytes_ = decoder_->weight_bytes();
  if (!projected) return;
  const int64_t size = config.get_int("projection_dim", 512);
  if (size < 1 || size > int64_t{1} << 18)
    fail("{}: projection_dim is {}, expected 1 to {}", config.file(), size, int64_t{1} << 18);
  nn::WeightLoader loader(source, options);
  projection_ = loader.linear({{kProjection, kProjection, false, {}}}, {size}, spec.hidden_size,
                              false);
  for (const auto& [name, parameter] : loader.parameters().all()) parameters_.add(name, parameter);
  weight_bytes_ += loader.memory_bytes();
}

Tensor ClipText::hidden_states(const Tensor& ids, int64_t clip_skip) const {
  return hidden_states_of(token_embeddings(ids), clip_skip);
}

void ClipText::check_skip(int64_t clip_skip, int64_t most) const {
  if (clip_skip < 0 || clip_skip > most)
    fail("clip skip {}: the text encoder has {} layers, expected 0 to {}", clip_skip, num_layers(),
         most);
}

Tensor ClipText::layer_states(const Tensor& embeddings, int64_t left_out) const {
  check_skip(left_out, num_layers());
  return decoder_->layer_states(embeddings, num_layers() - left_out);
}

Tensor ClipText::hidden_states_of(const Tensor& embeddings, int64_t clip_skip) const {
  check_skip(clip_skip, num_layers() - 1);
  return decoder_->hidden_states_of(embeddings, num_layers() - clip_skip);
}

Tensor ClipText::pooled(const Tensor& ids, const Tensor& hidden_states) const {
  const int64_t batch = ids.size(0), length = ids.size(1), width = hidden_size();
  std::vector<int32_t> rows;
  for (int64_t b = 0; b < batch; ++b) {
    const int32_t* row = ids.data<int32_t>() + b * length;
    const int32_t* end =
        eos_id_ == 2 ? std::max_element(row, row + length) : std::find(row, row + length, eos_id_);
    if (end == row + length)
      fail("pooled text: text {} has no id {}, which ends a text", b, eos_id_);
    rows.push_back(static_cast<int32_t>(b * length + (end - row)));
  }
  const Tensor ends = ops::embedding(Tensor::from_ids(rows, {batch}),
                                     ops::reshape(hidden_states, {batch * length, width}));
  return projection_.defined() ? projection_(ends) : ends;
}

}  // namespace sumi::models

#include "models/encoders/clip_vision.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/ops.h"

namespace sumi::models {

namespace {

nn::WeightName named(const std::string& name) { return {name, name, false, {}}; }

}  // namespace

ClipVisionSpec clip_vision_spec(const Config& config) {
  const auto number = [&](const char* field, int64_t missing, int64_t high) {
    const int64_t value = config.get_int(field, missing);
    if (value < 1 || value > high)
      fail("{}: {} is {}, expected 1 to {}", config.file(), field, value, high);
    return value;
  };
  ClipVisionSpec spec;
  spec.hidden_size = number("hidden_size", 768, 1 << 16);
  spec.intermediate_size = number("intermediate_size", 3072, 1 << 18);
  spec.num_layers = number("num_hidden_layers", 12, 1024);
  spec.num_heads = number("num_attention_heads", 12, 1024);
  spec.image_size = number("image_size", 224, 4096);
  spec.patch_size = number("patch_size", 32, 4096);
  if (spec.hidden_size % spec.num_heads != 0)
    fail("{}: hidden_size {} is no multiple of num_attention_heads {}", config.file(),
         spec.hidden_size, spec.num_heads);
  if (spec.image_size % spec.patch_size != 0)
    fail("{}: image_size {} is no multiple of patch_size {}", config.file(), spec.image_size,
         spec.patch_size);
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_eps", 1e-5));
  spec.activation = config.get_activation("hidden_act", "quick_gelu");
  return spec;
}

ClipVision::ClipVision(const ClipVisionSpec& spec, nn::WeightLoader& loader,
                       const std::string& prefix)
    : spec_(spec) {
  const int64_t width = spec.hidden_size, side = spec.image_size / spec.patch_size;
  const auto norm = [&](const std::string& name) {
    return loader.norm(named(name), nn::NormKind::layer, width, true, spec.norm_eps);
  };
  const std::string embeddings = prefix + "embeddings.";
  patches_ = loader.conv2d(named(embeddings + "patch_embedding"), width, 3, spec.patch_size,
                           {.stride = spec.patch_size}, false);
  class_token_ = loader.values(named(embeddings + "class_embedding"), {width});
  positions_ = loader.values(named(embeddings + "position_embedding.weight"),
                             {side * side + 1, width});
  first_norm_ = norm(prefix + "pre_layrnorm");  // spelled so in the files
  for (int64_t i = 0; i < spec.num_layers; ++i) {
    const std::string name = fmt::format("{}encoder.layers.{}.", prefix, i);
    const std::string attention = name + "self_attn.";
    Layer layer;
    layer.attention_norm = norm(name + "layer_norm1");
    layer.mlp_norm = norm(name + "layer_norm2");
    layer.query_key_value = loader.linear(
        {named(attention + "q_proj"), named(attention + "k_proj"), named(attention + "v_proj")},
        {width, width, width}, width, true);
    layer.attention_output = loader.linear({named(attention + "out_proj")}, {width}, width, true);
    layer.up = loader.linear({named(name + "mlp.fc1")}, {spec.intermediate_size}, width, true);
    layer.down = loader.linear({named(name + "mlp.fc2")}, {width}, spec.intermediate_size, true);
    layers_.push_back(std::move(layer));
  }
  last_norm_ = norm(prefix + "post_layernorm");
}

Tensor ClipVision::attention(const Layer& layer, const Tensor& x) const {
  const int64_t width = spec_.hidden_size, dim = width / spec_.num_heads;
  const Tensor joined = layer.query_key_value(x);
  const auto part = [&](int64_t i) {
    return ops::reshape(ops::slice_last(joined, i * width, width),
                        {1, x.size(1), spec_.num_heads, dim});
  };
  ops::AttentionOptions options;
  options.scale = 1 / std::sqrt(static_cast<float>(dim));
  options.causal = false;
  const Tensor y = ops::attention(part(0), part(1), part(2), options);
  return ops::reshape(y, x.shape());
}

Tensor ClipVision::pooled(const Tensor& picture) const {
  const Shape expected = {1, spec_.image_size, spec_.image_size, 3};
  if (picture.shape() != expected)
    fail("CLIP: a picture {}, expected {}", tensor::shape_string(picture.shape()),
         tensor::shape_string(expected));
  const int64_t width = spec_.hidden_size, count = positions_.size(0);
  const Tensor patches = patches_(picture);
  Tensor tokens = Tensor::empty({1, count, width});
  float* rest = std::copy_n(class_token_.f32(), width, tokens.f32());
  std::copy_n(patches.f32(), patches.numel(), rest);
  Tensor x = first_norm_(ops::add(tokens, positions_));
  for (const Layer& layer : layers_) {
    x = layer.attention_output(attention(layer, layer.attention_norm(x)), x);
    const Tensor inner = ops::activation(layer.up(layer.mlp_norm(x)), spec_.activation);
    x = layer.down(inner, x);
  }
  return last_norm_(x.view({count, width}).rows(0, 1));
}

}  // namespace sumi::models

// CLIP's picture encoder (arXiv:2103.00020; transformers' modeling_clip.py is the numerical
// reference), for inference.
#pragma once

#include <string>
#include <vector>

#include "models/language/config.h"
#include "nn/weight_loader.h"
#include "ops/activation.h"

namespace sumi::models {

struct ClipVisionSpec {
  int64_t hidden_size = 0, intermediate_size = 0, num_layers = 0, num_heads = 0;
  int64_t image_size = 0, patch_size = 0;  // pixels of a side
  float norm_eps = 1e-5f;
  ops::Activation activation = ops::Activation::gelu_quick;
};

// CLIPVisionConfig's fields. Throws Error naming the field.
ClipVisionSpec clip_vision_spec(const Config& config);

class ClipVision {
 public:
  // `prefix` of the tensors' names: "vision_model." ...
  ClipVision(const ClipVisionSpec& spec, nn::WeightLoader& loader, const std::string& prefix);

  // A picture [1, image_size, image_size, 3], normalised -> [1, hidden_size], the class token's
  // state after the last norm.
  Tensor pooled(const Tensor& picture) const;

 private:
  struct Layer {
    nn::Norm attention_norm, mlp_norm;
    nn::Linear query_key_value, attention_output, up, down;
  };
  Tensor attention(const Layer& layer, const Tensor& x) const;  // before its output matrix

  ClipVisionSpec spec_;
  nn::Conv2d patches_;
  Tensor class_token_, positions_;  // [C], [1 + patches, C]
  nn::Norm first_norm_, last_norm_;
  std::vector<Layer> layers_;
};

}  // namespace sumi::models

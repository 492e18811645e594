// The config.json of UNet2DConditionModel and ControlNetModel as a list of levels.
#pragma once

#include <string>
#include <vector>

#include "models/language/config.h"

namespace sumi::models {

// One resolution; the first is the input's, each next half of it.
struct UNetLevel {
  int64_t channels = 0;
  int64_t layers = 0;              // resnets on the way down; one more on the way up
  int64_t heads = 0;               // of attention; diffusers' "attention_head_dim" means this
  int64_t transformer_layers = 1;  // blocks in each transformer
  int64_t context_dim = 0;         // channels of the text
  bool down_attends = false, up_attends = false;
  bool only_cross_attention = false;  // the first attention of a block sees the text, too
};

enum class ClassEmbedding {
  none,
  table,       // a row per class number
  timestep,    // of a number's sinusoids
  projection,  // of a vector
};

struct UNetConfig {
  std::string file;
  int64_t in_channels = 4, out_channels = 4;
  std::vector<UNetLevel> levels;
  bool has_mid = true, mid_attends = true;
  double mid_scale = 1;  // the mid block's resnets are divided by it
  int64_t norm_groups = 32;
  double norm_eps = 1e-5;
  int64_t downsample_padding = 1;
  bool linear_projection = false;  // into and out of transformers; else 1x1 convolutions
  bool scale_shift = false;        // how time enters a resnet: norm(x) (1 + scale) + shift, not x + t
  int64_t conv_in_kernel = 3, conv_out_kernel = 3;

  bool flip_sin_to_cos = true;
  double freq_shift = 0;
  int64_t time_dim = 0;            // of the time embedding
  int64_t time_condition_dim = 0;  // of a vector added to the sinusoids (LCM's guidance); 0: none
  ClassEmbedding class_embedding = ClassEmbedding::none;
  int64_t class_count = 0;       // table
  int64_t projection_input = 0;  // class projection, or text_time
  bool text_time = false;        // SDXL: pooled text and sizes join the time embedding
  int64_t addition_time_dim = 0;
  int64_t encoder_hid_dim = 0;  // > 0: the text is projected from it first

  // The level of the largest pictures that attention sees; levels.size() if there is none.
  size_t first_attending() const {
    size_t i = 0;
    while (i < levels.size() && !levels[i].down_attends && !levels[i].up_attends) ++i;
    return i;
  }
  int64_t context_dim() const { return encoder_hid_dim > 0 ? encoder_hid_dim : levels[0].context_dim; }
};

struct ControlNetConfig {
  UNetConfig net;
  int64_t condition_channels = 3;
  std::vector<int64_t> condition_widths = {16, 32, 96, 256};  // of the hint encoder
  bool bgr = false;                                           // channel order of the condition
};

// Unknown keys, and values that Sumi does not know, are an Error naming file, key and value.
UNetConfig unet_config(const Config& config);
ControlNetConfig controlnet_config(const Config& config);

// What diffusers' ControlNetModel.from_unet writes: the configuration of a ControlNet for a UNet.
nlohmann::json controlnet_config_json(const Config& unet, int64_t condition_channels,
                                      const std::string& channel_order);

}  // namespace sumi::models

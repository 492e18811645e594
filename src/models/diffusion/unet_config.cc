#include "models/diffusion/unet_config.h"

#include <set>

#include "base/error.h"

namespace sumi::models {

namespace {

using Json = nlohmann::json;

constexpr int64_t kMost = int64_t{1} << 16;  // of any size
constexpr size_t kMostLevels = 8;

const std::set<std::string> kUNetKeys = {
    "in_channels", "flip_sin_to_cos", "freq_shift", "down_block_types", "mid_block_type",
    "only_cross_attention", "block_out_channels", "layers_per_block", "downsample_padding",
    "mid_block_scale_factor", "act_fn", "norm_num_groups", "norm_eps", "cross_attention_dim",
    "transformer_layers_per_block", "encoder_hid_dim", "encoder_hid_dim_type",
    "attention_head_dim", "num_attention_heads", "use_linear_projection", "class_embed_type",
    "addition_embed_type", "addition_time_embed_dim", "num_class_embeds", "upcast_attention",
    "resnet_time_scale_shift", "projection_class_embeddings_input_dim",
    "addition_embed_type_num_heads", "sample_size", "out_channels", "center_input_sample",
    "up_block_types", "dropout", "reverse_transformer_layers_per_block", "dual_cross_attention",
    "resnet_skip_time_act", "resnet_out_scale_factor", "time_embedding_type",
    "time_embedding_dim", "time_embedding_act_fn", "timestep_post_act", "time_cond_proj_dim",
    "conv_in_kernel", "conv_out_kernel", "attention_type", "class_embeddings_concat",
    "mid_block_only_cross_attention", "cross_attention_norm"};

const std::set<std::string> kControlNetKeys = {
    "in_channels", "conditioning_channels", "flip_sin_to_cos", "freq_shift", "down_block_types",
    "mid_block_type", "only_cross_attention", "block_out_channels", "layers_per_block",
    "downsample_padding", "mid_block_scale_factor", "act_fn", "norm_num_groups", "norm_eps",
    "cross_attention_dim", "transformer_layers_per_block", "encoder_hid_dim",
    "encoder_hid_dim_type", "attention_head_dim", "num_attention_heads", "use_linear_projection",
    "class_embed_type", "addition_embed_type", "addition_time_embed_dim", "num_class_embeds",
    "upcast_attention", "resnet_time_scale_shift", "projection_class_embeddings_input_dim",
    "controlnet_conditioning_channel_order", "conditioning_embedding_out_channels",
    "global_pool_conditions", "addition_embed_type_num_heads"};

[[noreturn]] void unknown(const Config& config, const std::string& key, const std::string& known) {
  fail("{}: {}: expected {}, found {}", config.file(), key, known, config.json().at(key).dump());
}

void check_keys(const Config& config, const std::set<std::string>& known) {
  for (const auto& [key, value] : config.json().items())
    if (!key.empty() && key[0] != '_' && known.count(key) == 0)
      fail("{}: {}: this field is not known (its value is {})", config.file(), key, value.dump());
}

// The key is absent, null, or has this value.
void require_value(const Config& config, const std::string& key, const Json& value) {
  if (config.has(key) && config.json().at(key) != value) unknown(config, key, value.dump());
}

int64_t size_of(const Config& config, const char* key, int64_t missing, int64_t least = 1) {
  const int64_t value = config.get_int(key, missing);
  if (value < least || value > kMost)
    fail("{}: {}: expected {} to {}, found {}", config.file(), key, least, kMost, value);
  return value;
}

// One number for all levels, or a list with one for each.
std::vector<int64_t> per_level(const Config& config, const std::string& key, size_t levels,
                               int64_t missing) {
  if (!config.has(key)) return std::vector<int64_t>(levels, missing);
  const Json& value = config.json().at(key);
  const std::vector<Json> items =
      value.is_array() ? value.get<std::vector<Json>>() : std::vector<Json>(levels, value);
  std::vector<int64_t> numbers;
  for (const Json& item : items)
    if (item.is_number_integer() && item.get<int64_t>() >= 1 && item.get<int64_t>() <= kMost)
      numbers.push_back(item.get<int64_t>());
  if (items.size() != levels || numbers.size() != levels)
    unknown(config, key,
            fmt::format("a whole number from 1 on, or a list of {} (one per block)", levels));
  return numbers;
}

std::vector<bool> flags_per_level(const Config& config, const std::string& key, size_t levels) {
  if (!config.has(key)) return std::vector<bool>(levels, false);
  const Json& value = config.json().at(key);
  if (value.is_boolean()) return std::vector<bool>(levels, value.get<bool>());
  std::vector<bool> flags;
  if (value.is_array())
    for (const Json& item : value)
      if (item.is_boolean()) flags.push_back(item.get<bool>());
  if (flags.size() != levels || value.size() != levels)
    unknown(config, key, fmt::format("true, false, or a list of {}", levels));
  return flags;
}

// Block names to "has attention".
std::vector<bool> blocks(const Config& config, const std::string& key, const std::string& plain,
                         const std::string& attending, const std::vector<std::string>& missing) {
  const std::vector<std::string> names = config.has(key) ? config.get_strings(key) : missing;
  std::vector<bool> attends;
  for (const std::string& name : names) {
    if (name != plain && name != attending)
      fail("{}: {}: expected {} or {}, found {}", config.file(), key, plain, attending, name);
    attends.push_back(name == attending);
  }
  if (attends.empty() || attends.size() > kMostLevels)
    fail("{}: {}: expected 1 to {} blocks, found {}", config.file(), key, kMostLevels,
         attends.size());
  return attends;
}

void read_embeddings(const Config& config, UNetConfig& net) {
  net.flip_sin_to_cos = config.get_bool("flip_sin_to_cos", true);
  net.freq_shift = config.get_float("freq_shift", 0);
  require_value(config, "time_embedding_type", "positional");
  net.time_dim = config.has("time_embedding_dim") ? size_of(config, "time_embedding_dim", 1)
                                                  : 4 * net.levels[0].channels;
  if (config.has("time_cond_proj_dim"))
    net.time_condition_dim = size_of(config, "time_cond_proj_dim", 1);
  if (config.has("projection_class_embeddings_input_dim"))
    net.projection_input = size_of(config, "projection_class_embeddings_input_dim", 1);
  const auto need_projection = [&](const char* key) {
    if (net.projection_input == 0)
      fail("{}: projection_class_embeddings_input_dim: missing, but {} needs it", config.file(),
           key);
  };
  if (config.has("class_embed_type")) {
    const std::string kind = config.get_string("class_embed_type", "");
    if (kind == "timestep")
      net.class_embedding = ClassEmbedding::timestep;
    else if (kind == "projection")
      net.class_embedding = ClassEmbedding::projection, need_projection("class_embed_type");
    else
      unknown(config, "class_embed_type", "null, timestep or projection");
  } else if (config.has("num_class_embeds")) {
    net.class_embedding = ClassEmbedding::table;
    net.class_count = size_of(config, "num_class_embeds", 1);
  }
  if (config.has("addition_embed_type")) {
    if (config.get_string("addition_embed_type", "") != "text_time")
      unknown(config, "addition_embed_type", "null or text_time");
    net.text_time = true;
    net.addition_time_dim = size_of(config, "addition_time_embed_dim", 0);
    need_projection("addition_embed_type");
  }
  require_value(config, "encoder_hid_dim_type", "text_proj");
  if (config.has("encoder_hid_dim")) net.encoder_hid_dim = size_of(config, "encoder_hid_dim", 1);
  if (config.has("encoder_hid_dim_type") && net.encoder_hid_dim == 0)
    fail("{}: encoder_hid_dim: missing, but encoder_hid_dim_type needs it", config.file());
}

// What UNets and ControlNets share.
UNetConfig common(const Config& config) {
  UNetConfig net;
  net.file = config.file();
  net.in_channels = size_of(config, "in_channels", 4);
  const std::vector<bool> down = blocks(
      config, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D",
      {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"});
  const size_t count = down.size();
  std::vector<int64_t> channels = {320, 640, 1280, 1280};
  if (config.has("block_out_channels")) channels = config.get_ints("block_out_channels");
  if (channels.size() != count)
    fail("{}: block_out_channels: expected {} numbers, one per block, found {}", config.file(),
         count, channels.size());
  require_value(config, "num_attention_heads", nullptr);
  const auto layers = per_level(config, "layers_per_block", count, 2);
  const auto heads = per_level(config, "attention_head_dim", count, 8);
  const auto depth = per_level(config, "transformer_layers_per_block", count, 1);
  const auto context = per_level(config, "cross_attention_dim", count, 1280);
  const auto only_cross = flags_per_level(config, "only_cross_attention", count);
  net.norm_groups = size_of(config, "norm_num_groups", 32);
  net.norm_eps = config.get_float("norm_eps", 1e-5);
  if (config.is_null("norm_num_groups")) unknown(config, "norm_num_groups", "a whole number");
  for (size_t i = 0; i < count; ++i) {
    if (channels[i] < 1 || channels[i] > kMost || channels[i] % net.norm_groups != 0 ||
        channels[i] % heads[i] != 0)
      fail(
          "{}: block_out_channels: expected multiples of norm_num_groups ({}) and of the number of "
          "heads ({}), found {}",
          config.file(), net.norm_groups, heads[i], channels[i]);
    net.levels.push_back({.channels = channels[i],
                          .layers = layers[i],
                          .heads = heads[i],
                          .transformer_layers = depth[i],
                          .context_dim = context[i],
                          .down_attends = down[i],
                          .only_cross_attention = only_cross[i]});
  }
  if (net.levels[0].channels % 2 != 0)
    fail("{}: block_out_channels: expected an even first number, found {}", config.file(),
         net.levels[0].channels);
  if (config.is_null("mid_block_type")) {
    net.has_mid = net.mid_attends = false;
  } else {
    const std::string mid = config.get_string("mid_block_type", "UNetMidBlock2DCrossAttn");
    net.mid_attends = mid == "UNetMidBlock2DCrossAttn";
    if (!net.mid_attends && mid != "UNetMidBlock2D")
      unknown(config, "mid_block_type", "UNetMidBlock2DCrossAttn, UNetMidBlock2D or null");
  }
  net.mid_scale = config.get_float("mid_block_scale_factor", 1);
  if (!(net.mid_scale > 0)) unknown(config, "mid_block_scale_factor", "a positive number");
  const std::string activation = config.get_string("act_fn", "silu");
  if (activation != "silu" && activation != "swish") unknown(config, "act_fn", "silu");
  net.downsample_padding = config.get_int("downsample_padding", 1);
  if (net.downsample_padding < 0 || net.downsample_padding > 1)
    unknown(config, "downsample_padding", "0 or 1");
  net.linear_projection = config.get_bool("use_linear_projection", false);
  const std::string shift = config.get_string("resnet_time_scale_shift", "default");
  net.scale_shift = shift == "scale_shift";
  if (!net.scale_shift && shift != "default")
    unknown(config, "resnet_time_scale_shift", "default or scale_shift");
  read_embeddings(config, net);
  return net;
}

int64_t kernel_of(const Config& config, const char* key) {
  const int64_t kernel = config.get_int(key, 3);
  if (kernel < 1 || kernel > 9 || kernel % 2 == 0) unknown(config, key, "an odd number up to 9");
  return kernel;
}

}  // namespace

UNetConfig unet_config(const Config& config) {
  const std::string name = config.get_string("_class_name", "UNet2DConditionModel");
  if (name != "UNet2DConditionModel") unknown(config, "_class_name", "UNet2DConditionModel");
  check_keys(config, kUNetKeys);
  for (const char* off : {"center_input_sample", "dual_cross_attention", "resnet_skip_time_act",
                          "class_embeddings_concat", "mid_block_only_cross_attention"})
    require_value(config, off, false);
  for (const char* absent : {"reverse_transformer_layers_per_block", "time_embedding_act_fn",
                             "timestep_post_act", "cross_attention_norm"})
    require_value(config, absent, nullptr);
  require_value(config, "resnet_out_scale_factor", 1.0);
  require_value(config, "attention_type", "default");
  UNetConfig net = common(config);
  net.out_channels = size_of(config, "out_channels", 4);
  net.conv_in_kernel = kernel_of(config, "conv_in_kernel");
  net.conv_out_kernel = kernel_of(config, "conv_out_kernel");
  const std::vector<bool> up = blocks(
      config, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D",
      {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"});
  if (up.size() != net.levels.size())
    fail("{}: up_block_types: expected {} blocks, as many as down_block_types, found {}",
         config.file(), net.levels.size(), up.size());
  for (size_t i = 0; i < up.size(); ++i) net.levels[up.size() - 1 - i].up_attends = up[i];
  return net;
}

ControlNetConfig controlnet_config(const Config& config) {
  const std::string name = config.get_string("_class_name", "ControlNetModel");
  if (name != "ControlNetModel") unknown(config, "_class_name", "ControlNetModel");
  check_keys(config, kControlNetKeys);
  require_value(config, "global_pool_conditions", false);
  ControlNetConfig control;
  control.net = common(config);
  control.condition_channels = size_of(config, "conditioning_channels", 3);
  if (config.has("conditioning_embedding_out_channels"))
    control.condition_widths = config.get_ints("conditioning_embedding_out_channels");
  if (control.condition_widths.size() < 1 || control.condition_widths.size() > kMostLevels)
    unknown(config, "conditioning_embedding_out_channels", "a list of 1 to 8 numbers");
  for (const int64_t width : control.condition_widths)
    if (width < 1 || width > kMost)
      unknown(config, "conditioning_embedding_out_channels", "whole numbers from 1 on");
  const std::string order = config.get_string("controlnet_conditioning_channel_order", "rgb");
  control.bgr = order == "bgr";
  if (!control.bgr && order != "rgb")
    unknown(config, "controlnet_conditioning_channel_order", "rgb or bgr");
  return control;
}

nlohmann::json controlnet_config_json(const Config& unet, int64_t condition_channels,
                                      const std::string& channel_order) {
  Json json = {{"_class_name", "ControlNetModel"},
               {"conditioning_channels", condition_channels},
               {"controlnet_conditioning_channel_order", channel_order},
               {"conditioning_embedding_out_channels", {16, 32, 96, 256}}};
  for (const std::string& key : kControlNetKeys)
    if (unet.json().contains(key) && !json.contains(key)) json[key] = unet.json().at(key);
  return json;
}

}  // namespace sumi::models

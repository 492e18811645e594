#include "diffusion/single_file/configs.h"

#include <algorithm>

#include "base/error.h"

namespace sumi::diffusion {

namespace {

using Json = nlohmann::json;

constexpr int64_t kHeadChannels = 64;

Json encoder_config(const Section& net) {
  const std::vector<LdmLevel> levels = ldm_levels(net);
  Json channels = Json::array(), down = Json::array(), heads = Json::array(),
       depths = Json::array();
  int64_t context = 0;
  bool linear = false, several_depths = false;
  int block = 1;
  for (const LdmLevel& level : levels) {
    channels.push_back(level.channels);
    down.push_back(level.transformer_layers > 0 ? "CrossAttnDownBlock2D" : "DownBlock2D");
    heads.push_back(std::max<int64_t>(1, level.channels / kHeadChannels));
    depths.push_back(std::max<int64_t>(1, level.transformer_layers));
    several_depths = several_depths || depths.back() != depths.front();
    if (level.transformer_layers > 0 && context == 0) {
      const std::string name = fmt::format("input_blocks.{}.1.", block);
      context = net.shape(name + "transformer_blocks.0.attn2.to_k.weight", 2)[1];
      linear = net.axes(name + "proj_in.weight") == 2;
    }
    block += static_cast<int>(level.layers) + (level.down ? 1 : 0);
  }
  if (context == 0) fail("{}: no layer sees a text", net.prefix());
  return {{"in_channels", net.shape("input_blocks.0.0.weight", 4)[1]},
          {"block_out_channels", channels},
          {"down_block_types", down},
          {"layers_per_block", levels[0].layers},
          {"cross_attention_dim", context},
          {"attention_head_dim", linear ? heads : Json(8)},
          {"transformer_layers_per_block", several_depths ? depths : depths.front()},
          {"use_linear_projection", linear}};
}

// What both of CLIP's encoders say, with the layers' names before and after the number.
Json text_config(const Shape& tokens, const Shape& positions, int64_t layers, int64_t inner,
                 const char* activation) {
  return {{"architectures", {"CLIPTextModel"}},
          {"model_type", "clip_text_model"},
          {"vocab_size", tokens[0]},
          {"hidden_size", tokens[1]},
          {"max_position_embeddings", positions[0]},
          {"num_hidden_layers", layers},
          {"num_attention_heads", std::max<int64_t>(1, tokens[1] / kHeadChannels)},
          {"intermediate_size", inner},
          {"hidden_act", activation},
          {"layer_norm_eps", 1e-5}};
}

}  // namespace

Json unet_config_of(const Section& net, int64_t sample_size) {
  Json config = encoder_config(net);
  Json up = Json::array();
  for (const Json& type : config["down_block_types"])
    up.insert(up.begin(), type == "DownBlock2D" ? "UpBlock2D" : "CrossAttnUpBlock2D");
  config["_class_name"] = "UNet2DConditionModel";
  config["up_block_types"] = up;
  config["out_channels"] = net.shape("out.2.weight", 4)[0];
  config["sample_size"] = sample_size;
  if (net.has("label_emb.0.0.weight")) {
    config["addition_embed_type"] = "text_time";
    config["addition_time_embed_dim"] = 256;
    config["projection_class_embeddings_input_dim"] = net.shape("label_emb.0.0.weight", 2)[1];
  }
  if (net.has("label_emb.weight"))
    config["num_class_embeds"] = net.shape("label_emb.weight", 2)[0];
  return config;
}

std::vector<int64_t> hint_widths(const Section& net) {
  // Two convolutions for each width but the last, whose second belongs to the network.
  std::vector<int64_t> widths;
  for (int i = 0; net.any(fmt::format("input_hint_block.{}.", i + 2)); i += 4)
    widths.push_back(net.shape(fmt::format("input_hint_block.{}.weight", i), 4)[0]);
  return widths;
}

Json controlnet_config_of(const Section& net) {
  Json config = encoder_config(net);
  config["_class_name"] = "ControlNetModel";
  config["conditioning_channels"] = net.shape("input_hint_block.0.weight", 4)[1];
  config["conditioning_embedding_out_channels"] = hint_widths(net);
  return config;
}

Json vae_config_of(const Section& net, int64_t sample_size, double scaling_factor) {
  Json channels = Json::array(), down = Json::array(), up = Json::array();
  const int64_t levels = net.count("encoder.down.");
  for (int64_t l = 0; l < levels; ++l) {
    channels.push_back(
        net.shape(fmt::format("encoder.down.{}.block.0.conv1.weight", l), 4)[0]);
    down.push_back("DownEncoderBlock2D");
    up.push_back("UpDecoderBlock2D");
  }
  return {{"_class_name", "AutoencoderKL"},
          {"block_out_channels", channels},
          {"down_block_types", down},
          {"up_block_types", up},
          {"in_channels", net.shape("encoder.conv_in.weight", 4)[1]},
          {"out_channels", net.shape("decoder.conv_out.weight", 4)[0]},
          {"latent_channels", net.shape("decoder.conv_in.weight", 4)[1]},
          {"layers_per_block", net.count("encoder.down.0.block.")},
          {"use_quant_conv", net.has("quant_conv.weight")},
          {"use_post_quant_conv", net.has("post_quant_conv.weight")},
          {"sample_size", sample_size},
          {"scaling_factor", scaling_factor}};
}

Json clip_config_of(const Section& net) {
  const std::string model = net.any("text_model.") ? "text_model." : "";
  return text_config(net.shape(model + "embeddings.token_embedding.weight", 2),
                     net.shape(model + "embeddings.position_embedding.weight", 2),
                     net.count(model + "encoder.layers."),
                     net.shape(model + "encoder.layers.0.mlp.fc1.weight", 2)[0], "quick_gelu");
}

Json open_clip_config_of(const Section& net, bool whole) {
  Json config = text_config(
      net.shape("token_embedding.weight", 2), net.shape("positional_embedding", 2),
      net.count("transformer.resblocks.") - (whole ? 0 : 1),
      net.shape("transformer.resblocks.0.mlp.c_fc.weight", 2)[0], "gelu");
  if (!whole) return config;
  config["architectures"] = {"CLIPTextModelWithProjection"};
  config["projection_dim"] = net.shape("text_projection", 2)[1];
  return config;
}

Json scheduler_config_of(const std::string& prediction_type, bool xl) {
  Json config = {{"beta_start", 0.00085},
                 {"beta_end", 0.012},
                 {"beta_schedule", "scaled_linear"},
                 {"num_train_timesteps", 1000},
                 {"steps_offset", 1},
                 {"prediction_type", prediction_type}};
  if (xl) {
    config.update({{"_class_name", "EulerDiscreteScheduler"}, {"timestep_spacing", "leading"}});
    return config;
  }
  config.update({{"set_alpha_to_one", false}, {"clip_sample", false}});
  if (prediction_type == "v_prediction")
    config["_class_name"] = "DDIMScheduler";
  else
    config.update({{"_class_name", "PNDMScheduler"}, {"skip_prk_steps", true}});
  return config;
}

}  // namespace sumi::diffusion

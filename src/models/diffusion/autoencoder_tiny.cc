#include "models/diffusion/autoencoder_tiny.h"

#include <cmath>

#include "base/error.h"
#include "ops/ops.h"

namespace sumi::models {

namespace {

// factor * x + offset
Tensor affine(const Tensor& x, float factor, float offset) {
  Tensor y = Tensor::empty(x.shape());
  for (int64_t i = 0; i < x.numel(); ++i) y.f32()[i] = factor * x.f32()[i] + offset;
  return y;
}

std::vector<int64_t> sizes(const Config& config, const char* field, std::vector<int64_t> missing,
                           int64_t high) {
  std::vector<int64_t> values = config.has(field) ? config.get_ints(field) : std::move(missing);
  if (values.empty() || values.size() > 8)
    fail("{}: {} has {} entries, expected 1 to 8", config.file(), field, values.size());
  for (const int64_t value : values)
    if (value < 1 || value > high)
      fail("{}: {}: expected 1 to {}, found {}", config.file(), field, high, value);
  return values;
}

}  // namespace

AutoencoderTiny::AutoencoderTiny(const Config& config, const formats::TensorSource& source,
                                 const VaeOptions& options)
    : activation_(config.get_activation("act_fn", "relu")),
      file_(config.file()),
      in_channels_(config.get_int("in_channels", 3)),
      latent_channels_(config.get_int("latent_channels", 4)),
      scaling_factor_(config.get_float("scaling_factor", 1.0)),
      shift_factor_(config.get_float("shift_factor", 0.0)) {
  const auto check = [&](const char* field, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high)
      fail("{}: {} is {}, expected {} to {}", file_, field, value, low, high);
  };
  check("in_channels", in_channels_, 1, 64);
  check("latent_channels", latent_channels_, 1, 1024);
  const int64_t out = config.get_int("out_channels", 3);
  check("out_channels", out, 1, 64);
  check("upsampling_scaling_factor", config.get_int("upsampling_scaling_factor", 2), 2, 2);
  const auto encoder_blocks = sizes(config, "num_encoder_blocks", {1, 3, 3, 3}, 64);
  const auto decoder_blocks = sizes(config, "num_decoder_blocks", {3, 3, 3, 1}, 64);
  const auto encoder_channels =
      sizes(config, "encoder_block_out_channels", {64, 64, 64, 64}, 16384);
  const auto decoder_channels =
      sizes(config, "decoder_block_out_channels", {64, 64, 64, 64}, 16384);
  if (encoder_blocks.size() != encoder_channels.size() ||
      decoder_blocks.size() != decoder_channels.size() ||
      encoder_blocks.size() != decoder_blocks.size())
    fail("{}: num_encoder_blocks, encoder_block_out_channels, num_decoder_blocks and "
         "decoder_block_out_channels: expected equal lengths, found {}, {}, {} and {}",
         file_, encoder_blocks.size(), encoder_channels.size(), decoder_blocks.size(),
         decoder_channels.size());
  for (const auto* channels : {&encoder_channels, &decoder_channels})
    for (const int64_t value : *channels)
      if (value != channels->front())
        fail("{}: block_out_channels: expected equal numbers, found {} and {}", file_,
             channels->front(), value);
  factor_ = int64_t{1} << (encoder_blocks.size() - 1);
  nn::WeightLoader loader(source, options.load);
  if (options.encoder)
    encoder_ = load(loader, "encoder", encoder_blocks, encoder_channels, in_channels_,
                    latent_channels_);
  decoder_ = load(loader, "decoder", decoder_blocks, decoder_channels, latent_channels_, out);
  loader.check_all_used([&](const std::string& name) {
    return !options.encoder && name.rfind("encoder.", 0) == 0;
  });
  parameters_ = loader.parameters();
  weight_bytes_ = loader.memory_bytes();
}

// The checkpoint numbers all layers through, also those without weights.
std::vector<AutoencoderTiny::Layer> AutoencoderTiny::load(nn::WeightLoader& loader,
                                                          const std::string& half,
                                                          const std::vector<int64_t>& blocks,
                                                          const std::vector<int64_t>& channels,
                                                          int64_t in, int64_t out) {
  const bool encoder = half == "encoder";
  int64_t index = 0;
  const auto conv = [&](const std::string& within, int64_t to, int64_t from, bool bias,
                        int64_t stride) {
    const std::string name = fmt::format("{}.layers.{}{}", half, index, within);
    return loader.conv2d({name, name, false, {}}, to, from, 3,
                         ops::Conv2dOptions::padded(1, stride), bias);
  };
  std::vector<Layer> layers;
  const auto add = [&](int64_t to, int64_t from, bool bias, int64_t stride, bool upsample) {
    Layer layer;
    layer.conv[0] = conv("", to, from, bias, stride);
    layer.upsample = upsample;
    layers.push_back(std::move(layer));
    ++index;
  };
  const auto add_blocks = [&](int64_t count, int64_t width) {
    for (int64_t j = 0; j < count; ++j, ++index) {
      Layer block;
      for (int k = 0; k < 3; ++k)
        block.conv[k] = conv(fmt::format(".conv.{}", 2 * k), width, width, true, 1);
      layers.push_back(std::move(block));
    }
  };
  if (!encoder) {
    add(channels[0], in, true, 1, false);
    layers.back().activate = true;
    ++index;  // the activation
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    const int64_t width = channels[i];
    if (encoder) add(width, i == 0 ? in : width, i == 0, i == 0 ? 1 : 2, false);
    add_blocks(blocks[i], width);
    if (encoder) continue;
    const bool last = i + 1 == blocks.size();
    if (!last) ++index;  // the upsampling
    add(last ? out : width, width, last, 1, !last);
  }
  if (encoder) add(out, channels.back(), true, 1, false);
  return layers;
}

Tensor AutoencoderTiny::run(const std::vector<Layer>& layers, Tensor x) const {
  for (const Layer& layer : layers) {
    if (layer.upsample) x = ops::upsample_nearest_2x(x);
    if (layer.conv[1].defined()) {
      const Tensor y = ops::activation(layer.conv[0](x), activation_);
      x = ops::activation(layer.conv[2](ops::activation(layer.conv[1](y), activation_), x),
                          ops::Activation::relu);
    } else {
      x = layer.conv[0](x);
      if (layer.activate) x = ops::activation(x, activation_);
    }
  }
  return x;
}

LatentDistribution AutoencoderTiny::encode(const Tensor& pictures) const {
  if (encoder_.empty()) fail("{}: the autoencoder's encoder was not loaded", file_);
  if (pictures.dim() != 4 || pictures.size(3) != in_channels_ || pictures.size(1) % factor_ != 0 ||
      pictures.size(2) % factor_ != 0 || pictures.numel() == 0)
    fail("autoencoder: pictures {}, expected [B, H, W, {}] with H and W multiples of {}",
         tensor::shape_string(pictures.shape()), in_channels_, factor_);
  return {run(encoder_, affine(pictures, 0.5f, 0.5f)), Tensor()};
}

Tensor AutoencoderTiny::decode(const Tensor& latents) const {
  if (latents.dim() != 4 || latents.size(3) != latent_channels_ || latents.numel() == 0)
    fail("autoencoder: latents {}, expected [B, h, w, {}]", tensor::shape_string(latents.shape()),
         latent_channels_);
  return affine(run(decoder_, ops::softcap(latents, 3)), 2, -1);
}

}  // namespace sumi::models

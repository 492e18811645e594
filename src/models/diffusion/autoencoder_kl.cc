#include "models/diffusion/autoencoder_kl.h"

#include <cmath>

#include "base/error.h"
#include "models/diffusion/tiling.h"
#include "ops/bf16.h"
#include "ops/ops.h"

namespace sumi::models {

namespace {

constexpr float kNormEps = 1e-6f;

nn::WeightName named(const std::string& name) { return {name, name, false, {}}; }

// Log variances to standard deviations, cut as diffusers' DiagonalGaussianDistribution does.
Tensor deviation(const Tensor& log_variance) {
  Tensor std = Tensor::empty(log_variance.shape());
  for (int64_t i = 0; i < std.numel(); ++i)
    std.f32()[i] = std::exp(0.5f * std::clamp(log_variance.f32()[i], -30.0f, 20.0f));
  return std;
}

LatentDistribution distribution(const Tensor& moments, int64_t channels) {
  return {ops::slice_last(moments, 0, channels),
          deviation(ops::slice_last(moments, channels, channels))};
}

}  // namespace

// At the size of the picture each tensor takes hundreds of megabytes: none lives longer than it must.
Tensor AutoencoderKl::Resnet::operator()(Tensor x) const {
  Tensor rest = shortcut.defined() ? shortcut(x) : x;
  x = conv1.of_normed(std::move(x), norm1, {}, true);
  return conv2.of_normed(std::move(x), norm2, {}, true, std::move(rest));
}

Tensor AutoencoderKl::Attention::operator()(const Tensor& x) const {
  const int64_t batch = x.size(0), pixels = x.size(1) * x.size(2), channels = x.size(3);
  const Tensor normed = norm(x);
  const Shape heads = {batch, pixels, 1, channels};
  ops::AttentionOptions options;
  options.scale = 1 / std::sqrt(static_cast<float>(channels));
  options.causal = false;
  const Tensor y = ops::attention(ops::reshape(query(normed), heads),
                                  ops::reshape(key(normed), heads),
                                  ops::reshape(value(normed), heads), options);
  return output(ops::reshape(y, x.shape()), x);
}

Tensor AutoencoderKl::Middle::operator()(Tensor x) const {
  x = resnets[0](std::move(x));
  if (attends) x = attention(x);
  return resnets[1](std::move(x));
}

Tensor AutoencoderKl::moments(const Tensor& pictures) const {
  Tensor x = as_kept(encoder_, encoder_.conv_in(pictures));
  for (const Level& level : encoder_.levels) {
    for (const Resnet& resnet : level.resnets) x = resnet(std::move(x));
    if (level.resample.defined()) x = level.resample(x);
  }
  x = ops::widen(encoder_.conv_out(encoder_.norm_out(encoder_.middle(x), true)));
  return quant_conv_.defined() ? quant_conv_(x) : x;
}

// As it goes through the half: in bf16 where its weights multiply so (ops/bf16.h).
Tensor AutoencoderKl::as_kept(const Half& half, const Tensor& x) {
  return half.middle.resnets[0].conv1.takes_bf16() ? ops::narrow(x) : x;
}

LatentDistribution AutoencoderKl::encode(const Tensor& pictures) const {
  check_pictures(pictures);
  return distribution(moments(pictures), spec_.latent_channels);
}

Tensor AutoencoderKl::decode(const Tensor& latents) const {
  check_latents(latents);
  Tensor x = post_quant_conv_.defined() ? post_quant_conv_(latents) : latents;
  x = decoder_.middle(as_kept(decoder_, decoder_.conv_in(x)));
  for (const Level& level : decoder_.levels) {
    for (const Resnet& resnet : level.resnets) x = resnet(std::move(x));
    if (level.resample.defined()) x = level.resample.of_upsampled(x, 2 * x.size(1), 2 * x.size(2));
  }
  return ops::widen(decoder_.conv_out(decoder_.norm_out.of_sum(std::move(x), {}, true)));
}

// As diffusers' tiled_encode and tiled_decode: tiles of sample_size pixels, a quarter of which
// overlaps.
LatentDistribution AutoencoderKl::encode_tiled(const Tensor& pictures) const {
  check_pictures(pictures);
  const int64_t tile = spec_.sample_size, latent_tile = spec_.sample_size / factor();
  if (pictures.size(1) <= tile && pictures.size(2) <= tile) return encode(pictures);
  const int64_t overlap = latent_tile / 4;
  const Tensor all = in_tiles(pictures, {.size = tile, .stride = tile * 3 / 4},
                              {.overlap = overlap, .stride = latent_tile - overlap},
                              [&](const Tensor& part) { return moments(part); });
  return distribution(all, spec_.latent_channels);
}

Tensor AutoencoderKl::decode_tiled(const Tensor& latents) const {
  check_latents(latents);
  const int64_t tile = spec_.sample_size, latent_tile = spec_.sample_size / factor();
  if (latents.size(1) <= latent_tile && latents.size(2) <= latent_tile) return decode(latents);
  const int64_t overlap = tile / 4;
  return in_tiles(latents, {.size = latent_tile, .stride = latent_tile * 3 / 4},
                  {.overlap = overlap, .stride = tile - overlap},
                  [&](const Tensor& part) { return decode(part); });
}

void AutoencoderKl::check_pictures(const Tensor& pictures) const {
  if (!has_encoder_) fail("{}: the autoencoder's encoder was not loaded", file_);
  if (pictures.dim() != 4 || pictures.size(3) != spec_.in_channels ||
      pictures.size(1) % factor() != 0 || pictures.size(2) % factor() != 0 || pictures.numel() == 0)
    fail("autoencoder: pictures {}, expected [B, H, W, {}] with H and W multiples of {}",
         tensor::shape_string(pictures.shape()), spec_.in_channels, factor());
}

void AutoencoderKl::check_latents(const Tensor& latents) const {
  if (latents.dim() != 4 || latents.size(3) != spec_.latent_channels || latents.numel() == 0)
    fail("autoencoder: latents {}, expected [B, h, w, {}]", tensor::shape_string(latents.shape()),
         spec_.latent_channels);
}

AutoencoderKl::AutoencoderKl(const Config& config, const formats::TensorSource& source,
                             const VaeOptions& options)
    : spec_(autoencoder_kl_spec(config)), file_(config.file()), has_encoder_(options.encoder) {
  nn::WeightLoader loader(source, options.load.with_many_rows());
  const int64_t latent = spec_.latent_channels;
  if (has_encoder_) {
    load_encoder(loader);
    if (spec_.quant_conv)
      quant_conv_ = loader.conv2d(named("quant_conv"), 2 * latent, 2 * latent, 1, {});
  }
  if (spec_.post_quant_conv)
    post_quant_conv_ = loader.conv2d(named("post_quant_conv"), latent, latent, 1, {});
  load_decoder(loader);
  loader.check_all_used([&](const std::string& name) {
    return !has_encoder_ && (name.rfind("encoder.", 0) == 0 || name.rfind("quant_conv.", 0) == 0);
  });
  parameters_ = loader.parameters();
  weight_bytes_ = loader.memory_bytes();
}

AutoencoderKl::Resnet AutoencoderKl::load_resnet(nn::WeightLoader& loader, const std::string& name,
                                                 int64_t in, int64_t out) {
  const auto padded = ops::Conv2dOptions::padded(1);
  Resnet r;
  r.norm1 = loader.group_norm(named(name + ".norm1"), in, spec_.norm_num_groups, kNormEps);
  r.conv1 = loader.conv2d(named(name + ".conv1"), out, in, 3, padded);
  r.norm2 = loader.group_norm(named(name + ".norm2"), out, spec_.norm_num_groups, kNormEps);
  r.conv2 = loader.conv2d(named(name + ".conv2"), out, out, 3, padded);
  if (in != out) r.shortcut = loader.conv2d(named(name + ".conv_shortcut"), out, in, 1, {});
  return r;
}

AutoencoderKl::Middle AutoencoderKl::load_middle(nn::WeightLoader& loader,
                                                 const std::string& name) {
  const int64_t channels = spec_.block_out_channels.back();
  Middle middle;
  for (const char* index : {"0", "1"})
    middle.resnets.push_back(load_resnet(loader, name + ".resnets." + index, channels, channels));
  middle.attends = spec_.mid_attention;
  if (!middle.attends) return middle;
  const std::string attention = name + ".attentions.0";
  // Files of before 2023 name the four matrices otherwise.
  const bool old = loader.has(attention + ".query.weight");
  const auto matrix = [&](const char* old_name, const char* new_name) {
    return loader.linear({named(attention + (old ? old_name : new_name))}, {channels}, channels,
                         true);
  };
  middle.attention.norm = loader.group_norm(named(attention + ".group_norm"), channels,
                                            spec_.norm_num_groups, kNormEps);
  middle.attention.query = matrix(".query", ".to_q");
  middle.attention.key = matrix(".key", ".to_k");
  middle.attention.value = matrix(".value", ".to_v");
  middle.attention.output = matrix(".proj_attn", ".to_out.0");
  return middle;
}

void AutoencoderKl::load_encoder(nn::WeightLoader& loader) {
  const std::vector<int64_t>& sizes = spec_.block_out_channels;
  const auto padded = ops::Conv2dOptions::padded(1);
  encoder_.conv_in =
      loader.conv2d(named("encoder.conv_in"), sizes[0], spec_.in_channels, 3, padded);
  int64_t channels = sizes[0];
  for (size_t i = 0; i < sizes.size(); ++i) {
    const std::string block = fmt::format("encoder.down_blocks.{}", i);
    Level level;
    for (int64_t j = 0; j < spec_.layers_per_block; ++j) {
      level.resnets.push_back(
          load_resnet(loader, fmt::format("{}.resnets.{}", block, j), channels, sizes[i]));
      channels = sizes[i];
    }
    if (i + 1 < sizes.size())
      level.resample = loader.conv2d(named(block + ".downsamplers.0.conv"), channels, channels, 3,
                                     {.stride = 2, .pad_bottom = 1, .pad_right = 1});
    encoder_.levels.push_back(std::move(level));
  }
  encoder_.middle = load_middle(loader, "encoder.mid_block");
  encoder_.norm_out = loader.group_norm(named("encoder.conv_norm_out"), channels,
                                        spec_.norm_num_groups, kNormEps);
  encoder_.conv_out =
      loader.conv2d(named("encoder.conv_out"), 2 * spec_.latent_channels, channels, 3, padded);
}

void AutoencoderKl::load_decoder(nn::WeightLoader& loader) {
  const std::vector<int64_t> sizes(spec_.block_out_channels.rbegin(),
                                   spec_.block_out_channels.rend());
  const auto padded = ops::Conv2dOptions::padded(1);
  decoder_.conv_in =
      loader.conv2d(named("decoder.conv_in"), sizes[0], spec_.latent_channels, 3, padded);
  decoder_.middle = load_middle(loader, "decoder.mid_block");
  int64_t channels = sizes[0];
  for (size_t i = 0; i < sizes.size(); ++i) {
    const std::string block = fmt::format("decoder.up_blocks.{}", i);
    Level level;
    for (int64_t j = 0; j <= spec_.layers_per_block; ++j) {
      level.resnets.push_back(
          load_resnet(loader, fmt::format("{}.resnets.{}", block, j), channels, sizes[i]));
      channels = sizes[i];
    }
    if (i + 1 < sizes.size())
      level.resample =
          loader.conv2d(named(block + ".upsamplers.0.conv"), channels, channels, 3, padded);
    decoder_.levels.push_back(std::move(level));
  }
  decoder_.norm_out = loader.group_norm(named("decoder.conv_norm_out"), channels,
                                        spec_.norm_num_groups, kNormEps);
  decoder_.conv_out =
      loader.conv2d(named("decoder.conv_out"), spec_.out_channels, channels, 3, padded);
}

AutoencoderKlSpec autoencoder_kl_spec(const Config& config) {
  AutoencoderKlSpec spec;
  const auto number = [&](const char* field, int64_t missing, int64_t high) {
    const int64_t value = config.get_int(field, missing);
    if (value < 1 || value > high)
      fail("{}: {} is {}, expected 1 to {}", config.file(), field, value, high);
    return value;
  };
  const auto block_types = [&](const char* field, const char* known) {
    const std::vector<std::string> types = config.get_strings(field);
    if (types.size() != spec.block_out_channels.size())
      fail("{}: {} has {} entries, expected {} as block_out_channels", config.file(), field,
           types.size(), spec.block_out_channels.size());
    for (const std::string& type : types)
      if (type != known) fail("{}: {}: expected {}, found {}", config.file(), field, known, type);
  };
  spec.in_channels = number("in_channels", 3, 64);
  spec.out_channels = number("out_channels", 3, 64);
  spec.latent_channels = number("latent_channels", 4, 1024);
  spec.layers_per_block = number("layers_per_block", 1, 64);
  spec.norm_num_groups = number("norm_num_groups", 32, 4096);
  spec.block_out_channels = config.get_ints("block_out_channels");
  if (spec.block_out_channels.empty() || spec.block_out_channels.size() > 8)
    fail("{}: block_out_channels has {} entries, expected 1 to 8", config.file(),
         spec.block_out_channels.size());
  for (const int64_t channels : spec.block_out_channels)
    if (channels < 1 || channels > 16384 || channels % spec.norm_num_groups != 0)
      fail("{}: block_out_channels: expected multiples of norm_num_groups {} up to 16384, found {}",
           config.file(), spec.norm_num_groups, channels);
  block_types("down_block_types", "DownEncoderBlock2D");
  block_types("up_block_types", "UpDecoderBlock2D");
  if (config.get_string("act_fn", "silu") != "silu")
    fail("{}: act_fn: expected silu, found {}", config.file(), config.get_string("act_fn", ""));
  spec.sample_size = number("sample_size", 32, 1 << 16);
  spec.scaling_factor = config.get_float("scaling_factor", 0.18215);
  if (!std::isfinite(spec.scaling_factor) || spec.scaling_factor <= 0)
    fail("{}: scaling_factor is {}, expected a positive number", config.file(),
         spec.scaling_factor);
  spec.shift_factor = config.get_float("shift_factor", 0.0);
  for (const char* field : {"latents_mean", "latents_std"})
    if (config.has(field)) fail("{}: {} is not known", config.file(), field);
  spec.quant_conv = config.get_bool("use_quant_conv", true);
  spec.post_quant_conv = config.get_bool("use_post_quant_conv", true);
  spec.mid_attention = config.get_bool("mid_block_add_attention", true);
  return spec;
}

}  // namespace sumi::models

#include "models/diffusion/unet_blocks.h"

#include <cmath>

#include "base/error.h"
#include "ops/ops.h"
#include "tensor/autograd.h"

namespace sumi::models {

namespace {

constexpr float kTransformerNormEps = 1e-6f, kLayerNormEps = 1e-5f;

nn::WeightName named(const std::string& name) { return {name, name, false, {}}; }

nn::Linear load_linear(nn::WeightLoader& loader, const std::string& name, int64_t in, int64_t out,
                       bool bias = true) {
  return loader.linear({named(name)}, {out}, in, bias);
}

nn::GroupNorm load_norm(nn::WeightLoader& loader, const std::string& name,
                        const UNetConfig& config, int64_t channels, float eps) {
  if (channels % config.norm_groups != 0)
    fail("{}: norm_num_groups: {} channels of {} do not split into {}", config.file, channels, name,
         config.norm_groups);
  return loader.group_norm(named(name), channels, config.norm_groups, eps);
}

// Whether a block's activations, some 30 numbers for each of its input's, are few beside its weights, some 18 times
// channels^2: reading those once more would cost more than the memory is worth.
bool few_activations(const Tensor& x) {
  const int64_t channels = x.size(3);
  return 16 * (x.numel() / channels) <= channels;
}

// Runs now, or again in the backward if the step asks for it.
template <class Part>
Tensor run(const Part& part, const Tensor& x, const Tensor& other, bool checkpoint) {
  if (!checkpoint || few_activations(x)) return part(x, other);
  return tensor::checkpoint(
      [&part](const std::vector<Tensor>& in) { return part(in[0], in[1]); }, {x, other});
}

}  // namespace

UNetResnet::UNetResnet(nn::WeightLoader& loader, const std::string& name, const UNetConfig& config,
                       int64_t in, int64_t out, double divisor)
    : scale_shift_(config.scale_shift), out_(out), factor_(static_cast<float>(1 / divisor)) {
  const auto eps = static_cast<float>(config.norm_eps);
  norm1_ = load_norm(loader, name + ".norm1", config, in, eps);
  conv1_ = loader.conv2d(named(name + ".conv1"), out, in, 3, ops::Conv2dOptions::padded(1));
  time_ = load_linear(loader, name + ".time_emb_proj", config.time_dim,
                      scale_shift_ ? 2 * out : out);
  norm2_ = load_norm(loader, name + ".norm2", config, out, eps);
  conv2_ = loader.conv2d(named(name + ".conv2"), out, out, 3, ops::Conv2dOptions::padded(1));
  if (in != out) shortcut_ = loader.conv2d(named(name + ".conv_shortcut"), out, in, 1, {});
}

Tensor UNetResnet::operator()(const Tensor& x, const Tensor& time) const {
  const Tensor t = time_(time);
  const auto rest = [&] { return shortcut_.defined() ? shortcut_(x) : x; };
  Tensor h = conv1_.of_normed(x, norm1_, {}, true);
  if (scale_shift_)
    h = conv2_(ops::activation(ops::modulate(norm2_(h), ops::slice_last(t, 0, out_),
                                             ops::slice_last(t, out_, out_)),
                               ops::Activation::silu),
               rest());
  else
    h = conv2_.of_normed(std::move(h), norm2_, t, true, rest());
  return factor_ == 1 ? h : ops::scale(h, factor_);
}

TransformerBlock::Attention TransformerBlock::load(nn::WeightLoader& loader,
                                                   const std::string& name,
                                                   const std::string& norm, int64_t channels,
                                                   int64_t context) const {
  Attention layer;
  layer.norm = loader.norm(named(norm), nn::NormKind::layer, channels, true, kLayerNormEps);
  layer.query = load_linear(loader, name + ".to_q", channels, channels, false);
  layer.key = load_linear(loader, name + ".to_k", context, channels, false);
  layer.value = load_linear(loader, name + ".to_v", context, channels, false);
  layer.output = load_linear(loader, name + ".to_out.0", channels, channels);
  return layer;
}

TransformerBlock::TransformerBlock(nn::WeightLoader& loader, const std::string& name,
                                   const UNetLevel& level)
    : heads_(level.heads), only_cross_(level.only_cross_attention) {
  const int64_t channels = level.channels;
  first_ = load(loader, name + ".attn1", name + ".norm1", channels,
                only_cross_ ? level.context_dim : channels);
  second_ = load(loader, name + ".attn2", name + ".norm2", channels, level.context_dim);
  norm3_ = loader.norm(named(name + ".norm3"), nn::NormKind::layer, channels, true, kLayerNormEps);
  up_ = loader.gated_linear(named(name + ".ff.net.0.proj"), 8 * channels, channels, true);
  down_ = load_linear(loader, name + ".ff.net.2", 4 * channels, channels);
}

Tensor TransformerBlock::attend(const Attention& layer, const Tensor& x,
                                const Tensor* context, const ops::TokenMerging* merging) const {
  const int64_t size = x.size(2) / heads_;
  const Tensor normed = merging ? merging->merge(layer.norm(x)) : layer.norm(x);
  const Tensor& seen = context ? *context : normed;
  const auto split = [&](const Tensor& t) {
    return ops::reshape(t, {t.size(0), t.size(1), heads_, size});
  };
  const ops::AttentionOptions options{.scale = 1 / std::sqrt(static_cast<float>(size)),
                                      .causal = false,
                                      .products = layer.query.products(),
                                      .int8 = layer.query.int8()};
  const Tensor y = ops::attention(split(layer.query(normed)), split(layer.key(seen)),
                                  split(layer.value(seen)), options);
  const Tensor whole = merging ? merging->unmerge(ops::reshape(y, normed.shape())) : ops::reshape(y, x.shape());
  return layer.output(whole, x);
}

Tensor TransformerBlock::feed_forward(const Tensor& x) const {
  const auto run = [this](const Tensor& rows) {
    const Tensor inner = up_(norm3_(rows));
    return down_(up_.gated() ? inner : ops::gated(inner, ops::Activation::gelu, ops::GateHalf::last),
                 rows);
  };
  // The inner layer is 12 times as wide as x: a piece of the rows at a time keeps it in the cache.
  constexpr int64_t kRows = 1024;
  const int64_t channels = x.size(2), rows = x.size(0) * x.size(1);
  if (tensor::needs_record({&x}) || tensor::grad_enabled() || rows <= kRows || up_.gated()) return run(x);
  const Tensor all = x.view({rows, channels});
  Tensor out = Tensor::empty({rows, channels});
  for (int64_t begin = 0; begin < rows; begin += kRows) {
    const int64_t count = std::min(kRows, rows - begin);
    const Tensor part = run(all.rows(begin, count));
    std::copy_n(part.f32(), part.numel(), out.f32() + begin * channels);
  }
  return out.view(x.shape());
}

Tensor TransformerBlock::operator()(Tensor x, const Tensor& context, int64_t height, int64_t width,
                                    double token_merging) const {
  if (token_merging > 0 && !only_cross_) {
    const ops::TokenMerging merging(x, height, width, token_merging);
    x = attend(first_, x, nullptr, &merging);
  } else {
    x = attend(first_, x, only_cross_ ? &context : nullptr);
  }
  x = attend(second_, x, &context);
  return feed_forward(x);
}

SpatialTransformer::SpatialTransformer(nn::WeightLoader& loader, const std::string& name,
                                       const UNetConfig& config, const UNetLevel& level,
                                       bool only_cross_attention) {
  UNetLevel own = level;
  own.only_cross_attention = only_cross_attention;
  const int64_t channels = level.channels;
  norm_ = load_norm(loader, name + ".norm", config, channels, kTransformerNormEps);
  if (config.linear_projection)
    linear_in_ = load_linear(loader, name + ".proj_in", channels, channels);
  else
    conv_in_ = loader.conv2d(named(name + ".proj_in"), channels, channels, 1, {});
  for (int64_t i = 0; i < level.transformer_layers; ++i)
    blocks_.emplace_back(loader, fmt::format("{}.transformer_blocks.{}", name, i), own);
  if (config.linear_projection)
    linear_out_ = load_linear(loader, name + ".proj_out", channels, channels);
  else
    conv_out_ = loader.conv2d(named(name + ".proj_out"), channels, channels, 1, {});
}

Tensor SpatialTransformer::operator()(const Tensor& x, const Tensor& context, double token_merging) const {
  Tensor h = conv_in_.defined() ? conv_in_.of_normed(x, norm_, {}, false) : linear_in_(norm_(x));
  h = ops::reshape(h, {x.size(0), x.size(1) * x.size(2), x.size(3)});
  for (const TransformerBlock& block : blocks_) h = block(std::move(h), context, x.size(1), x.size(2), token_merging);
  h = ops::reshape(h, x.shape());
  return conv_out_.defined() ? conv_out_(h, x) : linear_out_(h, x);
}

UNetBlock UNetBlock::down(nn::WeightLoader& loader, const UNetConfig& config, size_t index) {
  const UNetLevel& level = config.levels[index];
  const std::string name = fmt::format("down_blocks.{}", index);
  UNetBlock block;
  block.merges_ = config.first_attending() == index;
  for (int64_t i = 0; i < level.layers; ++i) {
    const int64_t in = i == 0 && index > 0 ? config.levels[index - 1].channels : level.channels;
    block.resnets_.emplace_back(loader, fmt::format("{}.resnets.{}", name, i), config, in,
                                level.channels);
  }
  for (int64_t i = 0; level.down_attends && i < level.layers; ++i)
    block.transformers_.emplace_back(loader, fmt::format("{}.attentions.{}", name, i), config,
                                     level, level.only_cross_attention);
  if (index + 1 < config.levels.size()) {
    ops::Conv2dOptions options = ops::Conv2dOptions::padded(config.downsample_padding, 2);
    if (config.downsample_padding == 0) options.pad_bottom = options.pad_right = 1;
    block.resample_ = loader.conv2d(named(name + ".downsamplers.0.conv"), level.channels,
                                    level.channels, 3, options);
  }
  return block;
}

UNetBlock UNetBlock::middle(nn::WeightLoader& loader, const UNetConfig& config) {
  const UNetLevel& level = config.levels.back();
  UNetBlock block;
  const auto add_resnet = [&](int i) {
    block.resnets_.emplace_back(loader, fmt::format("mid_block.resnets.{}", i), config,
                                level.channels, level.channels, config.mid_scale);
  };
  add_resnet(0);
  if (!config.mid_attends) return block;
  block.transformers_.emplace_back(loader, "mid_block.attentions.0", config, level, false);
  add_resnet(1);
  return block;
}

UNetBlock UNetBlock::up(nn::WeightLoader& loader, const UNetConfig& config, size_t index) {
  const size_t last = config.levels.size() - 1, own = last - index;
  const UNetLevel& level = config.levels[own];
  const std::string name = fmt::format("up_blocks.{}", index);
  // What comes from below, and the widest skip: of the level above.
  const int64_t below = config.levels[index == 0 ? last : own + 1].channels;
  const int64_t above = config.levels[own == 0 ? 0 : own - 1].channels;
  UNetBlock block;
  block.merges_ = config.first_attending() == own;
  for (int64_t i = 0; i <= level.layers; ++i) {
    const int64_t skip = i == level.layers ? above : level.channels;
    block.resnets_.emplace_back(loader, fmt::format("{}.resnets.{}", name, i), config,
                                (i == 0 ? below : level.channels) + skip, level.channels);
  }
  for (int64_t i = 0; level.up_attends && i <= level.layers; ++i)
    block.transformers_.emplace_back(loader, fmt::format("{}.attentions.{}", name, i), config,
                                     level, level.only_cross_attention);
  if (own > 0)
    block.resample_ = loader.conv2d(named(name + ".upsamplers.0.conv"), level.channels,
                                    level.channels, 3, ops::Conv2dOptions::padded(1));
  return block;
}

Tensor UNetBlock::resnet(size_t i, const Tensor& x, const UNetStep& step) const {
  return run(resnets_[i], x, step.time, step.checkpoint);
}

Tensor UNetBlock::transformer(size_t i, const Tensor& x, const UNetStep& step) const {
  if (merges_ && step.token_merging > 0) return transformers_[i](x, step.context, step.token_merging);
  return run(transformers_[i], x, step.context, step.checkpoint);
}

Tensor UNetBlock::run_down_layers(Tensor x, size_t begin, size_t end, const UNetStep& step,
                                  std::vector<Tensor>& skips) const {
  for (size_t i = begin; i < end; ++i) {
    x = resnet(i, x, step);
    if (!transformers_.empty()) x = transformer(i, x, step);
    skips.push_back(x);
  }
  return x;
}

Tensor UNetBlock::run_down(Tensor x, const UNetStep& step, std::vector<Tensor>& skips) const {
  x = run_down_layers(std::move(x), 0, layers(), step, skips);
  if (resample_.defined()) {
    x = resample_(x);
    skips.push_back(x);
  }
  return x;
}

Tensor UNetBlock::run_middle(Tensor x, const UNetStep& step) const {
  x = resnet(0, x, step);
  if (transformers_.empty()) return x;
  x = transformer(0, x, step);
  return resnet(1, x, step);
}

Tensor UNetBlock::run_up_layers(Tensor x, size_t begin, size_t end, const UNetStep& step,
                                std::vector<Tensor>& skips) const {
  for (size_t i = begin; i < end; ++i) {
    const Tensor joined = ops::concat_last({x, skips.back()});
    skips.pop_back();
    x = resnet(i, joined, step);
    if (!transformers_.empty()) x = transformer(i, x, step);
  }
  return x;
}

Tensor UNetBlock::run_up(Tensor x, const UNetStep& step, std::vector<Tensor>& skips) const {
  x = run_up_layers(std::move(x), 0, layers(), step, skips);
  // To the size of the next skip: twice, or one less where an odd size was halved.
  if (resample_.defined())
    x = resample_.of_upsampled(x, skips.back().size(1), skips.back().size(2));
  return x;
}

}  // namespace sumi::models

#include "models/diffusion/unet.h"

#include "base/error.h"
#include "formats/weights_folder.h"
#include "ops/ops.h"
#include "tensor/autograd.h"

namespace sumi::models {

namespace {

nn::WeightName named(const std::string& name) { return {name, name, false, {}}; }

// One value for all pictures, or one for each.
std::vector<float> for_batch(const std::vector<float>& values, int64_t batch, const char* what) {
  const auto count = static_cast<int64_t>(values.size());
  if (count == batch) return values;
  if (count != 1) fail("UNet: {} {} for {} pictures, expected one or one each", count, what, batch);
  return std::vector<float>(static_cast<size_t>(batch), values[0]);
}

void expect_shape(const UNetConfig& config, const char* what, const Tensor& x,
                  const Shape& expected) {
  if (!x.defined()) fail("{}: this model needs {}", config.file, what);
  if (x.shape() != expected)
    fail("{}: {} has shape {}, expected {}", config.file, what, tensor::shape_string(x.shape()),
         tensor::shape_string(expected));
}

}  // namespace

void UNetResiduals::add(const UNetResiduals& other) {
  if (down.size() != other.down.size())
    fail("ControlNets with {} and {} outputs cannot be summed", down.size(), other.down.size());
  for (size_t i = 0; i < down.size(); ++i) down[i] = ops::add(down[i], other.down[i]);
  mid = ops::add(mid, other.mid);
}

Tensor UNetEncoder::Mlp::operator()(const Tensor& x) const {
  return second(ops::activation(first(x), ops::Activation::silu));
}

UNetEncoder::Mlp UNetEncoder::load_mlp(nn::WeightLoader& loader, const std::string& name,
                                       int64_t in) const {
  return {loader.linear({named(name + ".linear_1")}, {config_.time_dim}, in, true),
          loader.linear({named(name + ".linear_2")}, {config_.time_dim}, config_.time_dim, true)};
}

UNetEncoder::UNetEncoder(nn::WeightLoader& loader, UNetConfig config) : config_(std::move(config)) {
  const int64_t channels = config_.levels[0].channels, kernel = config_.conv_in_kernel;
  conv_in_ = loader.conv2d(named("conv_in"), channels, config_.in_channels, kernel,
                           ops::Conv2dOptions::padded(kernel / 2));
  if (config_.time_condition_dim > 0)
    time_condition_ = loader.linear({named("time_embedding.cond_proj")}, {channels},
                                    config_.time_condition_dim, false);
  time_ = load_mlp(loader, "time_embedding", channels);
  if (config_.encoder_hid_dim > 0)
    text_projection_ = loader.linear({named("encoder_hid_proj")}, {config_.levels[0].context_dim},
                                     config_.encoder_hid_dim, true);
  switch (config_.class_embedding) {
    case ClassEmbedding::none:
      break;
    case ClassEmbedding::table:
      class_table_ =
          loader.embedding(named("class_embedding"), config_.class_count, config_.time_dim);
      break;
    case ClassEmbedding::timestep:
      class_mlp_ = load_mlp(loader, "class_embedding", channels);
      break;
    case ClassEmbedding::projection:
      class_mlp_ = load_mlp(loader, "class_embedding", config_.projection_input);
      break;
  }
  if (config_.text_time) added_ = load_mlp(loader, "add_embedding", config_.projection_input);
  for (size_t i = 0; i < config_.levels.size(); ++i)
    down_.push_back(UNetBlock::down(loader, config_, i));
  takes_bf16_ = down_[0].takes_bf16();
  if (config_.has_mid) mid_.push_back(UNetBlock::middle(loader, config_));
}

Tensor UNetEncoder::sinusoids(const std::vector<float>& values, int64_t dim) const {
  return ops::timestep_embedding(values, {.dim = dim,
                                          .flip_sin_to_cos = config_.flip_sin_to_cos,
                                          .freq_shift = config_.freq_shift});
}

Tensor UNetEncoder::class_embedding(const UNetInput& input, int64_t batch) const {
  if (config_.class_embedding == ClassEmbedding::projection) {
    expect_shape(config_, "class vectors", input.class_vectors, {batch, config_.projection_input});
    return class_mlp_(input.class_vectors);
  }
  if (input.classes.empty())
    fail("{}: this model needs class numbers (an upscaler: the noise level)", config_.file);
  const std::vector<float> classes = for_batch(input.classes, batch, "classes");
  if (config_.class_embedding == ClassEmbedding::timestep)
    return class_mlp_(sinusoids(classes, config_.levels[0].channels));
  const std::vector<int32_t> ids(classes.begin(), classes.end());
  return class_table_(Tensor::from_ids(ids, {batch}));
}

Tensor UNetEncoder::text_time(const UNetInput& input, int64_t batch) const {
  const int64_t ids = static_cast<int64_t>(input.time_ids.size()) / batch;
  const int64_t pooled = config_.projection_input - ids * config_.addition_time_dim;
  if (ids * batch != static_cast<int64_t>(input.time_ids.size()) || ids == 0 || pooled < 1)
    fail("{}: {} time ids for {} pictures do not fit projection_class_embeddings_input_dim {}",
         config_.file, input.time_ids.size(), batch, config_.projection_input);
  expect_shape(config_, "pooled text", input.pooled_text, {batch, pooled});
  const Tensor times = sinusoids(input.time_ids, config_.addition_time_dim);
  return added_(ops::concat_last(
      {input.pooled_text, times.view({batch, ids * config_.addition_time_dim})}));
}

UNetStep UNetEncoder::prepare(const UNetInput& input) const {
  const Tensor& x = input.sample;
  if (!x.defined() || x.dim() != 4 || x.size(3) != config_.in_channels || x.numel() == 0)
    fail("{}: sample {}, expected [B, H, W, {}]", config_.file,
         x.defined() ? tensor::shape_string(x.shape()) : "is undefined", config_.in_channels);
  const int64_t batch = x.size(0);
  const Tensor& text = input.context;
  if (!text.defined() || text.dim() != 3 || text.size(0) != batch || text.size(1) < 1 ||
      text.size(2) != config_.context_dim())
    fail("{}: text embedding {}, expected [{}, T, {}]", config_.file,
         text.defined() ? tensor::shape_string(text.shape()) : "is undefined", batch,
         config_.context_dim());
  Tensor time = sinusoids(for_batch(input.timesteps, batch, "timesteps"), config_.levels[0].channels);
  if (input.time_condition.defined()) {
    if (!time_condition_.defined())
      fail("{}: this model has no time_cond_proj_dim, but a time condition is given", config_.file);
    expect_shape(config_, "time condition", input.time_condition,
                 {batch, config_.time_condition_dim});
    time = time_condition_(input.time_condition, time);
  }
  time = time_(time);
  if (config_.class_embedding != ClassEmbedding::none)
    time = ops::add(time, class_embedding(input, batch));
  if (config_.text_time) time = ops::add(time, text_time(input, batch));
  return {.time = ops::activation(time, ops::Activation::silu),
          .context = as_kept(text_projection_.defined() ? text_projection_(text) : text)};
}

Tensor UNetEncoder::run(Tensor x, const UNetStep& step, std::vector<Tensor>& skips) const {
  skips.push_back(x);
  for (const UNetBlock& block : down_) x = block.run_down(std::move(x), step, skips);
  for (const UNetBlock& block : mid_) x = block.run_middle(std::move(x), step);
  return x;
}

Tensor UNetEncoder::run_first(Tensor x, const UNetStep& step, std::vector<Tensor>& skips) const {
  skips.push_back(x);
  return down_[0].run_down_layers(std::move(x), 0, 1, step, skips);
}

UNet::UNet(const Config& config, const formats::TensorSource& source,
           const nn::LoadOptions& options)
    : UNet(config, nn::WeightLoader(source, options.with_many_rows())) {}

UNet::UNet(const Config& config, nn::WeightLoader loader)
    : encoder_(loader, unet_config(config)) {
  const UNetConfig& net = encoder_.config();
  for (size_t i = 0; i < net.levels.size(); ++i) up_.push_back(UNetBlock::up(loader, net, i));
  const int64_t channels = net.levels[0].channels, kernel = net.conv_out_kernel;
  norm_out_ = loader.group_norm(named("conv_norm_out"), channels, net.norm_groups,
                                static_cast<float>(net.norm_eps));
  conv_out_ = loader.conv2d(named("conv_out"), net.out_channels, channels, kernel,
                            ops::Conv2dOptions::padded(kernel / 2));
  loader.check_all_used([](const std::string&) { return false; });
  parameters_ = loader.parameters();
  weight_bytes_ = loader.memory_bytes();
}

std::unique_ptr<UNet> UNet::open(const std::string& folder, const nn::LoadOptions& options) {
  const Config config = Config::read(folder + "/config.json");
  return std::make_unique<UNet>(config, *formats::open_weights_folder(folder), options);
}

// The way up, which has one layer more than the way down, ends with the skips of conv_in and the first layer.
Tensor UNet::last_layers(Tensor x, const UNetStep& step, std::vector<Tensor>& skips) const {
  const size_t layers = up_.back().layers();
  return up_.back().run_up_layers(std::move(x), layers - 2, layers, step, skips);
}

Tensor UNet::with_deep(Tensor x, const UNetStep& step, DeepFeature& deep) const {
  std::vector<Tensor> skips;
  if (deep.reused) {
    if (!deep.x.defined() || deep.x.size(0) != x.size(0) || deep.x.size(1) != x.size(1) ||
        deep.x.size(2) != x.size(2))
      fail("{}: the feature of a step before {}, expected one for {}", config().file,
           deep.x.defined() ? "has shape " + tensor::shape_string(deep.x.shape()) : "is undefined",
           tensor::shape_string(x.shape()));
    encoder_.run_first(std::move(x), step, skips);
  } else {
    x = encoder_.run(std::move(x), step, skips);
    for (size_t i = 0; i + 1 < up_.size(); ++i) x = up_[i].run_up(std::move(x), step, skips);
    deep.x = up_.back().run_up_layers(std::move(x), 0, up_.back().layers() - 2, step, skips);
  }
  return last_layers(deep.x, step, skips);
}

Tensor UNet::operator()(const UNetInput& input, const UNetResiduals* residuals, DeepFeature* deep) const {
  if (deep && residuals)
    fail("{}: ControlNets change the deep blocks, so that their results cannot be reused", config().file);
  UNetStep step = encoder_.prepare(input);
  step.checkpoint = checkpointing_ && tensor::grad_enabled();
  step.token_merging = input.token_merging;
  std::vector<Tensor> skips;
  Tensor x = encoder_.as_kept(encoder_.conv_in(input.sample));
  if (deep) return output(with_deep(std::move(x), step, *deep));
  x = encoder_.run(std::move(x), step, skips);
  if (residuals) {
    if (residuals->down.size() != skips.size())
      fail("{}: {} ControlNet residuals, expected {}", config().file, residuals->down.size(),
           skips.size());
    for (size_t i = 0; i < skips.size(); ++i) skips[i] = ops::add(skips[i], residuals->down[i]);
    x = ops::add(x, residuals->mid);
  }
  for (const UNetBlock& block : up_) x = block.run_up(std::move(x), step, skips);
  return output(std::move(x));
}

Tensor UNet::output(Tensor x) const {
  return ops::widen(conv_out_(norm_out_.of_sum(std::move(x), {}, true)));
}

}  // namespace sumi::models

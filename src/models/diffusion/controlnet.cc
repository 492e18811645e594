#include "models/diffusion/controlnet.h"

#include <cmath>
#include <random>
#include <unordered_map>

#include "base/error.h"
#include "formats/weights_folder.h"
#include "ops/ops.h"
#include "tensor/autograd.h"

namespace sumi::models {

namespace {

nn::WeightName named(const std::string& name) { return {name, name, false, {}}; }

struct HintLayer {
  std::string name;
  int64_t in, out, stride;
};

// As diffusers' ControlNetConditioningEmbedding: each width but the last gets a layer that keeps
// the size and one that halves it.
std::vector<HintLayer> hint_layers(const ControlNetConfig& config) {
  const std::string prefix = "controlnet_cond_embedding.";
  const std::vector<int64_t>& widths = config.condition_widths;
  std::vector<HintLayer> layers = {{prefix + "conv_in", config.condition_channels, widths[0], 1}};
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    layers.push_back({fmt::format("{}blocks.{}", prefix, 2 * i), widths[i], widths[i], 1});
    layers.push_back({fmt::format("{}blocks.{}", prefix, 2 * i + 1), widths[i], widths[i + 1], 2});
  }
  layers.push_back({prefix + "conv_out", widths.back(), config.net.levels[0].channels, 1});
  return layers;
}

// The channels of each skip.
std::vector<int64_t> skip_channels(const UNetConfig& config) {
  std::vector<int64_t> channels = {config.levels[0].channels};
  for (size_t i = 0; i < config.levels.size(); ++i) {
    const int64_t count = config.levels[i].layers + (i + 1 < config.levels.size() ? 1 : 0);
    channels.insert(channels.end(), static_cast<size_t>(count), config.levels[i].channels);
  }
  return channels;
}

std::string output_name(size_t i) { return fmt::format("controlnet_down_blocks.{}", i); }

bool starts_with(const std::string& name, const char* prefix) { return name.rfind(prefix, 0) == 0; }

// A UNet's shared weights, and new ones beside them.
class FreshWeights : public formats::TensorSource {
 public:
  FreshWeights(const ControlNetConfig& config, const formats::TensorSource& unet, uint64_t seed)
      : unet_(unet) {
    for (const formats::TensorInfo& info : unet.tensors()) {
      const bool decoder = starts_with(info.name, "up_blocks.") ||
                           starts_with(info.name, "conv_norm_out.") ||
                           starts_with(info.name, "conv_out.");
      if (!decoder) tensors_.push_back(info);
    }
    std::mt19937_64 generator(seed);
    const std::vector<HintLayer> layers = hint_layers(config);
    for (size_t i = 0; i < layers.size(); ++i) {
      const HintLayer& layer = layers[i];
      // PyTorch's default for convolutions, uniform in +-1 / sqrt(fan-in); the last begins as zero.
      const bool last = i + 1 == layers.size();
      const float bound = last ? 0 : 1 / std::sqrt(static_cast<float>(9 * layer.in));
      add(layer.name + ".weight", {layer.out, layer.in, 3, 3}, bound, generator);
      add(layer.name + ".bias", {layer.out}, bound, generator);
    }
    const std::vector<int64_t> channels = skip_channels(config.net);
    for (size_t i = 0; i < channels.size(); ++i) add_output(output_name(i), channels[i], generator);
    add_output("controlnet_mid_block", channels.back(), generator);
  }

  std::string describe() const override { return unet_.describe(); }
  const std::vector<formats::TensorInfo>& tensors() const override { return tensors_; }
  bool has(const std::string& name) const override {
    return fresh_.count(name) > 0 || unet_.has(name);
  }
  Tensor get(const std::string& name) const override {
    const auto found = fresh_.find(name);
    return found != fresh_.end() ? found->second : unet_.get(name);
  }
  void release(const std::string& name) const override {
    if (fresh_.count(name) == 0) unet_.release(name);
  }

 private:
  void add_output(const std::string& name, int64_t channels, std::mt19937_64& generator) {
    add(name + ".weight", {channels, channels, 1, 1}, 0, generator);
    add(name + ".bias", {channels}, 0, generator);
  }
  void add(const std::string& name, const Shape& shape, float bound, std::mt19937_64& generator) {
    Tensor tensor = Tensor::zeros(shape);
    if (bound > 0)
      for (int64_t i = 0; i < tensor.numel(); ++i)  // 24 bits: the same on every compiler
        tensor.f32()[i] =
            bound * (static_cast<float>(generator() >> 40) * 0x1p-23f - 1.0f);
    fresh_.emplace(name, tensor);
    tensors_.push_back({name, shape, DType::f32, "(new)"});
  }

  const formats::TensorSource& unet_;
  std::vector<formats::TensorInfo> tensors_;
  std::unordered_map<std::string, Tensor> fresh_;
};

Tensor reversed_channels(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape());
  const int64_t c = x.size(3);
  for (int64_t i = 0; i < x.numel(); ++i) y.f32()[i] = x.f32()[i / c * c + c - 1 - i % c];
  return y;
}

}  // namespace

ControlNet::ControlNet(const Config& config, const formats::TensorSource& source,
                       const nn::LoadOptions& options)
    : ControlNet(config, nn::WeightLoader(source, options.with_many_rows())) {}

ControlNet::ControlNet(const Config& config, nn::WeightLoader loader)
    : config_(controlnet_config(config)), encoder_(loader, config_.net) {
  load_hint(loader);
  const std::vector<int64_t> channels = skip_channels(config_.net);
  for (size_t i = 0; i < channels.size(); ++i)
    outputs_.push_back(loader.conv2d(named(output_name(i)), channels[i], channels[i], 1, {}));
  mid_output_ =
      loader.conv2d(named("controlnet_mid_block"), channels.back(), channels.back(), 1, {});
  loader.check_all_used([](const std::string&) { return false; });
  parameters_ = loader.parameters();
  weight_bytes_ = loader.memory_bytes();
}

void ControlNet::load_hint(nn::WeightLoader& loader) {
  const std::vector<HintLayer> layers = hint_layers(config_);
  for (size_t i = 0; i < layers.size(); ++i) {
    ops::Conv2dOptions options = ops::Conv2dOptions::padded(1, layers[i].stride);
    options.silu = i + 1 < layers.size();
    hint_.push_back(loader.conv2d(named(layers[i].name), layers[i].out, layers[i].in, 3, options));
  }
}

std::unique_ptr<ControlNet> ControlNet::open(const std::string& folder,
                                             const nn::LoadOptions& options) {
  const Config config = Config::read(folder + "/config.json");
  return std::make_unique<ControlNet>(config, *formats::open_weights_folder(folder), options);
}

std::unique_ptr<ControlNet> ControlNet::from_unet(const Config& config,
                                                  const formats::TensorSource& unet,
                                                  uint64_t seed, ops::Products products) {
  const FreshWeights weights(controlnet_config(config), unet, seed);
  nn::LoadOptions options;
  options.trainable = true;
  options.products = products;
  return std::make_unique<ControlNet>(config, weights, options);
}

Tensor ControlNet::hint(const Tensor& condition) const {
  Tensor x = config_.bgr ? reversed_channels(condition) : condition;
  for (const nn::Conv2d& layer : hint_) x = layer(x);
  return x;
}

UNetResiduals ControlNet::operator()(const UNetInput& input, const Tensor& condition,
                                     const ControlScale& scale) const {
  UNetStep step = encoder_.prepare(input);
  step.checkpoint = checkpointing_ && tensor::grad_enabled();
  const int64_t factor = int64_t{1} << (config_.condition_widths.size() - 1);
  const Shape expected = {input.sample.size(0), input.sample.size(1) * factor,
                          input.sample.size(2) * factor, config_.condition_channels};
  if (!condition.defined() || condition.shape() != expected)
    fail("{}: condition {}, expected {}", config_.net.file,
         condition.defined() ? tensor::shape_string(condition.shape()) : "is undefined",
         tensor::shape_string(expected));
  std::vector<Tensor> skips;
  const Tensor mid =
      encoder_.run(encoder_.as_kept(ops::add(encoder_.conv_in(input.sample), hint(condition))), step, skips);
  UNetResiduals residuals;
  const auto scaled = [](const Tensor& x, float factor) {
    return factor == 1 ? x : ops::scale(x, factor);
  };
  for (size_t i = 0; i < skips.size(); ++i) {
    // From 10^-1 to 10^0 in even steps of the exponent.
    const double exponent =
        scale.guess ? -1 + static_cast<double>(i) / static_cast<double>(skips.size()) : 0;
    residuals.down.push_back(scaled(outputs_[i](skips[i]),
                                    scale.scale * static_cast<float>(std::pow(10.0, exponent))));
  }
  residuals.mid = scaled(mid_output_(mid), scale.scale);
  return residuals;
}

}  // namespace sumi::models

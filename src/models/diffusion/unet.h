// UNet2DConditionModel, the network of Stable Diffusion 1.x, 2.x, inpainting, the x4 upscaler and
// SDXL (arXiv:2112.10752). Numerical reference: diffusers' unet_2d_condition.py.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "formats/tensor_source.h"
#include "models/diffusion/unet_blocks.h"
#include "ops/bf16.h"

namespace sumi::models {

// What a step gives a UNet or a ControlNet.
struct UNetInput {
  Tensor sample;                 // [B, H, W, in_channels]
  std::vector<float> timesteps;  // one for all pictures, or B
  Tensor context;                // the text, [B, T, context_dim]
  std::vector<float> classes;    // class numbers or noise levels: one for all, or B
  Tensor class_vectors;          // [B, projection_input], for ClassEmbedding::projection
  Tensor time_condition;         // [B, time_condition_dim], or undefined
  Tensor pooled_text;            // SDXL: [B, P]
  std::vector<float> time_ids;   // SDXL: sizes and crop, 6 for each picture (or as the model has)
  double token_merging = 0;      // see UNetStep; of UNets alone
};

// What a ControlNet adds: to each skip, and to the middle.
struct UNetResiduals {
  std::vector<Tensor> down;
  Tensor mid;
  // Sums two nets' residuals.
  void add(const UNetResiduals& other);
};

// What a step leaves for the next ones that skip the deep blocks (arXiv:2312.00858, DeepCache): what enters the last two
// layers of the way up.
struct DeepFeature {
  Tensor x;            // [B, H, W, C], as pictures are kept between layers; undefined before the first step
  bool reused = false;  // the next step takes it, and runs conv_in, the first layer and the last two alone
};

// The half that UNet and ControlNet share: from the sample to the middle.
class UNetEncoder {
 public:
  UNetEncoder(nn::WeightLoader& loader, UNetConfig config);

  const UNetConfig& config() const { return config_; }
  // Checks the input's shapes (Error) and embeds the time and what joins it.
  UNetStep prepare(const UNetInput& input) const;
  Tensor conv_in(const Tensor& sample) const { return conv_in_(sample); }
  // x as it goes through the blocks: in bf16 where their weights multiply so (ops/bf16.h).
  Tensor as_kept(const Tensor& x) const { return takes_bf16_ ? ops::narrow(x) : x; }
  // x after conv_in; skips gets x and every level's results.
  Tensor run(Tensor x, const UNetStep& step, std::vector<Tensor>& skips) const;
  // The same up to the first level's first layer.
  Tensor run_first(Tensor x, const UNetStep& step, std::vector<Tensor>& skips) const;

 private:
  struct Mlp {
    nn::Linear first, second;
    Tensor operator()(const Tensor& x) const;
  };
  Mlp load_mlp(nn::WeightLoader& loader, const std::string& name, int64_t in) const;
  Tensor sinusoids(const std::vector<float>& values, int64_t dim) const;
  Tensor class_embedding(const UNetInput& input, int64_t batch) const;
  Tensor text_time(const UNetInput& input, int64_t batch) const;

  UNetConfig config_;
  nn::Conv2d conv_in_;
  Mlp time_, class_mlp_, added_;
  nn::Linear time_condition_, text_projection_;
  nn::Embedding class_table_;
  std::vector<UNetBlock> down_;
  std::vector<UNetBlock> mid_;  // one or none
  bool takes_bf16_ = false;
};

class UNet {
 public:
  // Checks every name and shape. Throws Error naming file and field or tensor.
  UNet(const Config& config, const formats::TensorSource& source, const nn::LoadOptions& options);
  // unet/ of a diffusers folder: config.json and its weights.
  static std::unique_ptr<UNet> open(const std::string& folder, const nn::LoadOptions& options);

  // The predicted noise (or velocity, or sample) [B, H, W, out_channels]. Differentiable if loaded
  // as trainable. residuals, if not null, come from ControlNets. deep, if not null, is filled or reused (Error if there
  // is nothing to reuse, of another shape, or beside residuals).
  Tensor operator()(const UNetInput& input, const UNetResiduals* residuals = nullptr,
                    DeepFeature* deep = nullptr) const;

  const UNetConfig& config() const { return encoder_.config(); }
  const std::vector<std::pair<std::string, Tensor>>& parameters() const {
    return parameters_.all();
  }
  size_t weight_bytes() const { return weight_bytes_; }
  // For training: resnets and transformers run again in the backward instead of keeping what they
  // computed.
  void set_checkpointing(bool on) { checkpointing_ = on; }

 private:
  UNet(const Config& config, nn::WeightLoader loader);
  Tensor output(Tensor x) const;
  Tensor last_layers(Tensor x, const UNetStep& step, std::vector<Tensor>& skips) const;
  Tensor with_deep(Tensor x, const UNetStep& step, DeepFeature& deep) const;

  UNetEncoder encoder_;
  std::vector<UNetBlock> up_;
  nn::GroupNorm norm_out_;
  nn::Conv2d conv_out_;
  nn::Parameters parameters_;
  size_t weight_bytes_ = 0;
  bool checkpointing_ = false;
};

}  // namespace sumi::models

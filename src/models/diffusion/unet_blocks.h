// The parts of diffusers' UNets: resnets, transformers, and the blocks made of them. Pictures are
// [B, H, W, C]. Numerical reference: diffusers' resnet.py, transformer_2d.py, attention.py and
// unet_2d_blocks.py.
#pragma once

#include <string>
#include <vector>

#include "models/diffusion/unet_config.h"
#include "nn/weight_loader.h"
#include "ops/token_merging.h"

namespace sumi::models {

// What every part of a step needs beside the picture.
struct UNetStep {
  Tensor time;     // [B, time_dim], after its activation
  Tensor context;  // [B, T, context_dim]
  // Gradient checkpointing: resnets and transformers keep only their inputs for the backward, but for those that have many
  // weights for few pixels.
  bool checkpoint = false;
  // The share of tokens that merge for self-attention (ops/token_merging.h), on the first level that attends.
  double token_merging = 0;
};

class UNetResnet {
 public:
  // in and out: channels; the result is divided by `divisor`.
  UNetResnet(nn::WeightLoader& loader, const std::string& name, const UNetConfig& config,
             int64_t in, int64_t out, double divisor = 1);
  Tensor operator()(const Tensor& x, const Tensor& time) const;
  bool takes_bf16() const { return conv1_.takes_bf16() && conv2_.takes_bf16(); }

 private:
  nn::GroupNorm norm1_, norm2_;
  nn::Conv2d conv1_, conv2_, shortcut_;  // shortcut: undefined if the channels stay
  nn::Linear time_;
  bool scale_shift_;
  int64_t out_;
  float factor_;
};

// Self-attention, attention to the text, and a gated MLP, each after a layer norm and added.
class TransformerBlock {
 public:
  TransformerBlock(nn::WeightLoader& loader, const std::string& name, const UNetLevel& level);
  // x [B, N, C]; height and width of its picture.
  Tensor operator()(Tensor x, const Tensor& context, int64_t height, int64_t width, double token_merging) const;

 private:
  struct Attention {
    nn::Norm norm;
    nn::Linear query, key, value, output;
  };
  Attention load(nn::WeightLoader& loader, const std::string& name, const std::string& norm,
                 int64_t channels, int64_t context) const;
  Tensor attend(const Attention& layer, const Tensor& x, const Tensor* context,
                const ops::TokenMerging* merging = nullptr) const;
  Tensor feed_forward(const Tensor& x) const;

  int64_t heads_;
  bool only_cross_;
  Attention first_, second_;
  nn::Norm norm3_;
  nn::Linear up_, down_;  // up: value and gate side by side
};

class SpatialTransformer {
 public:
  SpatialTransformer(nn::WeightLoader& loader, const std::string& name, const UNetConfig& config,
                     const UNetLevel& level, bool only_cross_attention);
  Tensor operator()(const Tensor& x, const Tensor& context, double token_merging = 0) const;

 private:
  nn::GroupNorm norm_;
  nn::Conv2d conv_in_, conv_out_;  // these or the linear ones
  nn::Linear linear_in_, linear_out_;
  std::vector<TransformerBlock> blocks_;
};

// A level on its way down or up, or the middle: resnets, each with a transformer after it if the
// level attends, then a change of size.
class UNetBlock {
 public:
  static UNetBlock down(nn::WeightLoader& loader, const UNetConfig& config, size_t level);
  static UNetBlock middle(nn::WeightLoader& loader, const UNetConfig& config);
  static UNetBlock up(nn::WeightLoader& loader, const UNetConfig& config, size_t index);

  // Whether its weights take bf16 pictures.
  bool takes_bf16() const { return !resnets_.empty() && resnets_[0].takes_bf16(); }
  // Appends what the way up will see.
  Tensor run_down(Tensor x, const UNetStep& step, std::vector<Tensor>& skips) const;
  Tensor run_middle(Tensor x, const UNetStep& step) const;
  // Takes its skips from the end.
  Tensor run_up(Tensor x, const UNetStep& step, std::vector<Tensor>& skips) const;
  // Parts of these: layers [begin, end), each a resnet with its transformer, without the change of size.
  size_t layers() const { return resnets_.size(); }
  Tensor run_down_layers(Tensor x, size_t begin, size_t end, const UNetStep& step, std::vector<Tensor>& skips) const;
  Tensor run_up_layers(Tensor x, size_t begin, size_t end, const UNetStep& step, std::vector<Tensor>& skips) const;

 private:
  Tensor resnet(size_t i, const Tensor& x, const UNetStep& step) const;
  Tensor transformer(size_t i, const Tensor& x, const UNetStep& step) const;

  std::vector<UNetResnet> resnets_;
  std::vector<SpatialTransformer> transformers_;  // none, one per resnet, or one less (middle)
  nn::Conv2d resample_;                           // undefined on the last level
  bool merges_ = false;                           // the largest pictures that attention sees are its own
};

}  // namespace sumi::models

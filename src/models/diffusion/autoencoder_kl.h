// AutoencoderKL, Stable Diffusion's autoencoder (arXiv:2112.10752; diffusers' autoencoder_kl.py is
// the numerical reference).
#pragma once

#include "models/diffusion/vae.h"

namespace sumi::models {

struct AutoencoderKlSpec {
  int64_t in_channels = 3, out_channels = 3, latent_channels = 4;
  std::vector<int64_t> block_out_channels;  // of the encoder's levels; the first is the largest
  int64_t layers_per_block = 1, norm_num_groups = 32;
  int64_t sample_size = 32;  // pixels of a side of a tile
  double scaling_factor = 0.18215, shift_factor = 0;
  bool quant_conv = true, post_quant_conv = true, mid_attention = true;
};

// Throws Error naming the field.
AutoencoderKlSpec autoencoder_kl_spec(const Config& config);

class AutoencoderKl : public Vae {
 public:
  AutoencoderKl(const Config& config, const formats::TensorSource& source,
                const VaeOptions& options);

  LatentDistribution encode(const Tensor& pictures) const override;
  Tensor decode(const Tensor& latents) const override;
  LatentDistribution encode_tiled(const Tensor& pictures) const override;
  Tensor decode_tiled(const Tensor& latents) const override;

  int64_t factor() const override {
    return int64_t{1} << (spec_.block_out_channels.size() - 1);
  }
  int64_t latent_channels() const override { return spec_.latent_channels; }
  double scaling_factor() const override { return spec_.scaling_factor; }
  double shift_factor() const override { return spec_.shift_factor; }
  std::vector<std::pair<std::string, Tensor>> parameters() const override {
    return parameters_.all();
  }
  size_t weight_bytes() const override { return weight_bytes_; }

 private:
  struct Resnet {
    nn::GroupNorm norm1, norm2;
    nn::Conv2d conv1, conv2, shortcut;  // shortcut: undefined if the channels stay
    Tensor operator()(Tensor x) const;
  };
  // One head over all pixels.
  struct Attention {
    nn::GroupNorm norm;
    nn::Linear query, key, value, output;  // [C] -> [C]
    Tensor operator()(const Tensor& x) const;
  };
  struct Middle {
    std::vector<Resnet> resnets;  // 2
    Attention attention;
    bool attends = false;
    Tensor operator()(Tensor x) const;
  };
  struct Level {
    std::vector<Resnet> resnets;
    nn::Conv2d resample;  // undefined on the last level
  };
  struct Half {  // encoder or decoder
    nn::Conv2d conv_in, conv_out;
    std::vector<Level> levels;
    Middle middle;
    nn::GroupNorm norm_out;
  };

  Resnet load_resnet(nn::WeightLoader& loader, const std::string& name, int64_t in, int64_t out);
  Middle load_middle(nn::WeightLoader& loader, const std::string& name);
  void load_encoder(nn::WeightLoader& loader);
  void load_decoder(nn::WeightLoader& loader);
  static Tensor as_kept(const Half& half, const Tensor& x);
  Tensor moments(const Tensor& pictures) const;  // [B, h, w, 2 C]: means, then log variances
  void check_pictures(const Tensor& pictures) const;
  void check_latents(const Tensor& latents) const;

  AutoencoderKlSpec spec_;
  std::string file_;
  Half encoder_, decoder_;
  nn::Conv2d quant_conv_, post_quant_conv_;
  bool has_encoder_ = false;
  nn::Parameters parameters_;
  size_t weight_bytes_ = 0;
};

}  // namespace sumi::models

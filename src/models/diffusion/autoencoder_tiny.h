// AutoencoderTiny (TAESD): a small autoencoder without norms or spread, for previews and quick
// pictures (diffusers' autoencoder_tiny.py is the numerical reference).
#pragma once

#include "models/diffusion/vae.h"
#include "ops/activation.h"

namespace sumi::models {

class AutoencoderTiny : public Vae {
 public:
  AutoencoderTiny(const Config& config, const formats::TensorSource& source,
                  const VaeOptions& options);

  LatentDistribution encode(const Tensor& pictures) const override;
  Tensor decode(const Tensor& latents) const override;
  // Its memory is small enough: pictures are computed whole.
  LatentDistribution encode_tiled(const Tensor& pictures) const override {
    return encode(pictures);
  }
  Tensor decode_tiled(const Tensor& latents) const override { return decode(latents); }

  int64_t factor() const override { return factor_; }
  int64_t latent_channels() const override { return latent_channels_; }
  double scaling_factor() const override { return scaling_factor_; }
  double shift_factor() const override { return shift_factor_; }
  std::vector<std::pair<std::string, Tensor>> parameters() const override {
    return parameters_.all();
  }
  size_t weight_bytes() const override { return weight_bytes_; }

 private:
  // One entry of the checkpoint's list of layers: a convolution, or three with a residual.
  struct Layer {
    nn::Conv2d conv[3];  // one, if conv[1] is undefined
    bool upsample = false, activate = false;  // before the convolution; after it
  };

  std::vector<Layer> load(nn::WeightLoader& loader, const std::string& half,
                          const std::vector<int64_t>& blocks, const std::vector<int64_t>& channels,
                          int64_t in, int64_t out);
  Tensor run(const std::vector<Layer>& layers, Tensor x) const;

  std::vector<Layer> encoder_, decoder_;
  ops::Activation activation_ = ops::Activation::relu;
  std::string file_;
  int64_t factor_ = 8, in_channels_ = 3, latent_channels_ = 4;
  double scaling_factor_ = 1, shift_factor_ = 0;
  nn::Parameters parameters_;
  size_t weight_bytes_ = 0;
};

}  // namespace sumi::models

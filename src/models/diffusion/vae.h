// Autoencoders between pictures and the latents that diffusion works on. Pictures are [B, H, W, 3]
// with values in [-1, 1], latents [B, H / factor, W / factor, C], unscaled.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/language/config.h"
#include "nn/weight_loader.h"

namespace sumi::models {

// What an encoder says of a picture: latents are mean + std * noise.
struct LatentDistribution {
  Tensor mean;  // [B, h, w, C]
  Tensor std;   // the same shape, or undefined: there is no spread
  // noise [B, h, w, C] standard normal.
  Tensor sample(const Tensor& noise) const;
};

class Vae {
 public:
  virtual ~Vae() = default;

  // H and W are multiples of factor(). Throws Error otherwise, or if the encoder was not loaded.
  virtual LatentDistribution encode(const Tensor& pictures) const = 0;
  virtual Tensor decode(const Tensor& latents) const = 0;
  // The same in overlapping tiles whose seams are blended, as diffusers' tiling: memory does not
  // grow with the picture. Pictures of at most one tile are computed whole.
  virtual LatentDistribution encode_tiled(const Tensor& pictures) const = 0;
  virtual Tensor decode_tiled(const Tensor& latents) const = 0;

  virtual int64_t factor() const = 0;  // pixels per latent, in each direction
  virtual int64_t latent_channels() const = 0;
  // What diffusion sees: (latents - shift_factor) * scaling_factor.
  virtual double scaling_factor() const = 0;
  virtual double shift_factor() const = 0;

  virtual std::vector<std::pair<std::string, Tensor>> parameters() const = 0;
  virtual size_t weight_bytes() const = 0;
};

// For models whose diffusion works on pixels: pictures are their own latents.
class NoAutoencoder : public Vae {
 public:
  LatentDistribution encode(const Tensor& pictures) const override { return {pictures, {}}; }
  Tensor decode(const Tensor& latents) const override { return latents; }
  LatentDistribution encode_tiled(const Tensor& pictures) const override { return {pictures, {}}; }
  Tensor decode_tiled(const Tensor& latents) const override { return latents; }
  int64_t factor() const override { return 1; }
  int64_t latent_channels() const override { return 3; }
  double scaling_factor() const override { return 1; }
  double shift_factor() const override { return 0; }
  std::vector<std::pair<std::string, Tensor>> parameters() const override { return {}; }
  size_t weight_bytes() const override { return 0; }
};

struct VaeOptions {
  nn::LoadOptions load;
  bool encoder = true;  // false: the decoder alone is loaded
};

// Pixels per latent of the autoencoder that a configuration describes. Throws Error naming file and
// field if Sumi does not know it.
int64_t vae_factor(const Config& config);

// Reads vae/ of a diffusers folder: AutoencoderKL or AutoencoderTiny, as config.json's _class_name
// says. Throws Error naming file and field or tensor.
std::unique_ptr<Vae> open_vae(const std::string& folder, const VaeOptions& options);
std::unique_ptr<Vae> make_vae(const Config& config, const formats::TensorSource& source,
                              const VaeOptions& options);

}  // namespace sumi::models

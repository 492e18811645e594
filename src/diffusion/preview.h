// Rough pictures of latents, cheap enough for each step: every latent's colour as a linear function of
// its channels, fitted to what the autoencoder itself decodes.
#pragma once

#include <vector>

#include "formats/image.h"
#include "models/diffusion/vae.h"

namespace sumi::diffusion {

class LatentColours {
 public:
  // weights [channels + 1][3]: red, green and blue of each channel, and of 1.
  LatentColours(std::vector<double> weights, int64_t channels)
      : weights_(std::move(weights)), channels_(channels) {}

  // A sample [1, C, h, w] as diffusion sees it -> h x w pixels. Noise makes samples larger than
  // finished latents are; a larger one is scaled down to their spread.
  formats::Image image(const Tensor& sample) const;

 private:
  std::vector<double> weights_;
  int64_t channels_;
};

// Decodes patches of random latents and fits by least squares.
LatentColours latent_colours(const models::Vae& vae);

}  // namespace sumi::diffusion

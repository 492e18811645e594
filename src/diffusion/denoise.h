// From noise to latents: the loop that all pipelines share. Samples are [1, C, h, w], the order in
// which noise is drawn (PyTorch's); networks see [B, h, w, C].
#pragma once

#include <functional>
#include <vector>

#include "base/random.h"
#include "diffusion/scheduler.h"
#include "models/diffusion/controlnet.h"
#include "models/diffusion/unet.h"

namespace sumi::diffusion {

struct Guidance {
  // [1, T, C]; negative: undefined if the scale is not above 1, or the network knows it
  Tensor text, negative;
  float scale = 7.5f;     // arXiv:2207.12598
  Tensor pooled, negative_pooled;  // [1, P] of Stable Diffusion XL; undefined for others
  std::vector<float> time_ids;     // XL: size, corner, size of the picture
  float rescale = 0;      // how much of the text half's spread to restore, arXiv:2305.08891
};

// One ControlNet and its picture.
struct Control {
  const models::ControlNet* net = nullptr;
  Tensor picture;          // [1, H, W, 3] in [0, 1]
  float scale = 1;         // conditioning_scale
  float start = 0, end = 1;  // the share of the steps in which it counts
};

struct Inpainting {
  Tensor mask;  // [1, 1, h, w]: 1 where the picture is made anew; undefined: no inpainting
  // For networks that see the mask (9 channels): latents of the picture without what is masked.
  Tensor masked_latents;
  // For others: what the rest is restored from after each step.
  Tensor latents, noise;
};

// What an upscaler sees beside the latents.
struct SmallPicture {
  Tensor picture;        // [1, 3, h, w] with noise on it; undefined: no upscaling
  float noise_level = 0;  // of that noise: the network's class
};

struct DenoiseStep {
  size_t done = 0, total = 0;  // calls of the network
  const Tensor* sample = nullptr;
};

struct DenoiseJob {
  const models::UNet* unet = nullptr;
  Scheduler* scheduler = nullptr;  // with its timesteps set
  base::Generator* generator = nullptr;
  Guidance guidance;
  Tensor sample;          // [1, C, h, w] at the level of `first_step`
  size_t first_step = 0;  // of the scheduler's timesteps
  Inpainting inpainting;
  SmallPicture small;
  std::vector<Control> controls;
  int64_t deep_cache = 1;  // the UNet's deep blocks run on every so-manieth call, and their result serves the others
  double token_merging = 0;  // the share of the UNet's tokens that merge, see models::UNetStep
  bool guess_mode = false;  // ControlNets see the text half alone, and count less early
  std::function<void(const DenoiseStep&)> after_step;  // may be empty; may throw to stop
};

// What the network, with what ControlNets add, makes of `sample` in call `index`: [B, h, w, C], both halves of guidance.
Tensor network_output(const DenoiseJob& job, const Tensor& sample, size_t index);

// The denoised sample [1, C, h, w].
Tensor denoise(const DenoiseJob& job);

// Adds `rescale` of the way from `guided` to what has `text`'s standard deviation: section 3.4 of
// arXiv:2305.08891. Both [1, C, h, w].
Tensor rescaled(const Tensor& guided, const Tensor& text, float rescale);

}  // namespace sumi::diffusion

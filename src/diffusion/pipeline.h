// Pictures from prompts: the stages of Stable Diffusion as functions. With the same seed, float32 and
// the same files the picture is diffusers' (docs/pictures.md): noise is torch's, in torch's order.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/denoise.h"
#include "diffusion/picture_model.h"
#include "formats/image.h"

namespace sumi::diffusion {

struct ControlRequest {
  formats::Image picture;
  float scale = 1, start = 0, end = 1;
};

struct PictureRequest {
  std::string prompt, negative_prompt;
  int64_t width = 0, height = 0;  // 0: the picture's that is given, else the model's own
  int64_t steps = 20;
  double guidance_scale = 7.5, guidance_rescale = 0;
  int64_t clip_skip = 0;  // of the prompt; diffusers leaves the negative prompt whole, and so does Sumi
  std::string scheduler;  // "": the folder's
  double eta = 0;         // DDIM's
  std::optional<formats::Image> image, mask;  // the mask is white where the picture is made anew
  double strength = 0.8;  // how much of the picture is made anew: 0 to 1
  int64_t noise_level = 20;  // on the picture that an upscaler is given
  Tensor init_latents;    // [1, C, h, w] noise in place of the seed's; may be undefined
  std::vector<ControlRequest> controls;  // one for each of the model's ControlNets
  bool guess_mode = false;
  int64_t deep_cache = 1;  // see DenoiseJob; not with controls
  double token_merging = 0;  // likewise; 0 to 0.75
  bool tiled = false;  // the autoencoder works in tiles
};

// Fills in width and height, and checks everything that can be checked before heavy work. Throws
// Error naming the option, what was expected and found.
void check_request(const PictureModel& model, PictureRequest& request);

struct TextStates {
  Tensor text, negative;  // [1, T, C]; negative is undefined without guidance
  Tensor pooled, negative_pooled;  // [1, P], of Stable Diffusion XL
};
TextStates encode_text(PictureModel& model, const PictureRequest& request);

// Draws what is random in diffusers' order, encodes the given picture, and sets the scheduler's
// timesteps.
DenoiseJob prepare(PictureModel& model, const PictureRequest& request, const TextStates& text,
                   Scheduler& scheduler, base::Generator& generator);

// latents [1, C, h, w] -> the picture.
formats::Image decode_latents(PictureModel& model, const Tensor& latents, bool tiled);

struct Seconds {
  double text = 0, prepare = 0, denoise = 0, decode = 0, check = 0;
  size_t network_calls = 0;
};
struct Picture {
  formats::Image image;
  bool flagged = false;  // by the safety checker: the image is black
  Tensor latents;  // [1, C, h, w]
};
// All stages but the text, for one seed. Adds to `seconds`.
Picture make_picture(PictureModel& model, const PictureRequest& request, const TextStates& text,
                     uint64_t seed, const std::function<void(const DenoiseStep&)>& after_step,
                     Seconds* seconds);

}  // namespace sumi::diffusion

// Pictures drawn by networks that are being trained.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "diffusion/picture_model.h"
#include "formats/image.h"
#include "models/diffusion/controlnet.h"

namespace sumi::train {

struct SampleRequest {
  const models::UNet* unet = nullptr;
  const models::ControlNet* control = nullptr;
  Tensor text, no_text;  // states of the prompt and of none, [1, T, C]
  Tensor condition;      // [1, size, size, 3] in [0, 1]
  int64_t size = 0, steps = 20;
  double guidance_scale = 7.5;
  uint64_t seed = 0;
};

// Drawn with the folder's scheduler. Throws Cancelled when `cancel` becomes true.
struct Cancelled {};
formats::Image draw_sample(diffusion::PictureModel& model, const SampleRequest& request,
                           const std::atomic<bool>& cancel);

// Rows of pictures of one size, side by side.
formats::Image picture_grid(const std::vector<std::vector<formats::Image>>& rows);

// Fills a folder with pictures of a prompt, drawn by the model as it is, until it has `count`: what
// a model knows of a class before it learns one of its kind. Throws Cancelled.
void draw_class_pictures(const std::string& model_folder, const std::string& folder,
                         const std::string& prompt, int64_t count, int64_t size, int64_t steps,
                         double guidance_scale, uint64_t seed, const std::atomic<bool>& cancel,
                         const std::function<void(int64_t drawn, int64_t of)>& progress);

}  // namespace sumi::train

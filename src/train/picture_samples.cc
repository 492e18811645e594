#include "train/picture_samples.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "diffusion/layout.h"
#include "diffusion/pipeline.h"
#include "formats/json.h"
#include "tensor/autograd.h"
#include "train/picture_set.h"

namespace sumi::train {

formats::Image draw_sample(diffusion::PictureModel& model, const SampleRequest& request,
                           const std::atomic<bool>& cancel) {
  const tensor::NoGrad no_grad;
  const auto scheduler = model.scheduler();
  scheduler->set_timesteps(request.steps);
  base::Generator generator(request.seed);
  diffusion::DenoiseJob job;
  job.unet = request.unet;
  job.scheduler = scheduler.get();
  job.generator = &generator;
  job.guidance.text = request.text;
  if (request.guidance_scale > 1) job.guidance.negative = request.no_text;
  job.guidance.scale = static_cast<float>(request.guidance_scale);
  const int64_t side = request.size / model.factor();
  job.sample =
      diffusion::randn(generator, {1, request.unet->config().out_channels, side, side});
  for (int64_t i = 0; i < job.sample.numel(); ++i)
    job.sample.f32()[i] *= scheduler->init_noise_sigma();
  if (request.control) {
    diffusion::Control control;
    control.net = request.control;
    control.picture = request.condition;
    job.controls.push_back(control);
  }
  job.after_step = [&](const diffusion::DenoiseStep&) {
    if (cancel) throw Cancelled();
  };
  return diffusion::decode_latents(model, diffusion::denoise(job), false);
}

formats::Image picture_grid(const std::vector<std::vector<formats::Image>>& rows) {
  const int width = rows.at(0).at(0).width, height = rows[0][0].height;
  size_t columns = 0;
  for (const auto& row : rows) columns = std::max(columns, row.size());
  formats::Image grid(width * static_cast<int>(columns), height * static_cast<int>(rows.size()), 3);
  for (size_t r = 0; r < rows.size(); ++r)
    for (size_t c = 0; c < rows[r].size(); ++c)
      for (int y = 0; y < height; ++y)
        std::copy_n(rows[r][c].row(y), rows[r][c].row_bytes(),
                    grid.row(static_cast<int>(r) * height + y) + c * rows[r][c].row_bytes());
  return grid;
}

void draw_class_pictures(const std::string& model_folder, const std::string& folder,
                         const std::string& prompt, int64_t count, int64_t size, int64_t steps,
                         double guidance_scale, uint64_t seed, const std::atomic<bool>& cancel,
                         const std::function<void(int64_t drawn, int64_t of)>& progress) {
  std::filesystem::create_directories(folder);
  auto there = static_cast<int64_t>(picture_files(folder).size());
  if (there >= count) return;
  diffusion::PictureModelOptions options;
  options.files.safety_checker = false;  // its black pictures would be learned
  diffusion::PictureModel model(model_folder, options);
  diffusion::PictureRequest request;
  request.prompt = prompt;
  request.width = request.height = size;
  request.steps = steps;
  request.guidance_scale = guidance_scale;
  diffusion::check_request(model, request);
  const diffusion::TextStates text = diffusion::encode_text(model, request);
  for (int64_t i = 1; there < count; ++i) {  // a number's picture is the same whenever it is drawn
    const std::string path = fmt::format("{}/class-{:05}.png", folder, i);
    if (formats::file_exists(path)) continue;
    const auto after_step = [&](const diffusion::DenoiseStep&) {
      if (cancel) throw Cancelled();
    };
    diffusion::Seconds unused;
    const diffusion::Picture picture = diffusion::make_picture(
        model, request, text, seed + static_cast<uint64_t>(i), after_step, &unused);
    formats::write_image(path, picture.image);
    progress(++there, count);
  }
}

}  // namespace sumi::train

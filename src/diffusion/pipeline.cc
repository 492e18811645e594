#include "diffusion/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "diffusion/layout.h"
#include "formats/image_resize.h"
#include "tensor/autograd.h"
#include "tensor/block_cache.h"

namespace sumi::diffusion {

namespace {

constexpr int64_t kLargestSide = 8192;
constexpr int64_t kTrainingSteps = 1000;  // of all published models
constexpr int64_t kPictureChannels = 3;
constexpr int64_t kMaskedChannels = 5;  // a mask and the masked picture's latents

// The side of a picture that fits the latents: diffusers cuts down to a multiple.
int64_t fitting(int64_t side, int64_t factor) { return side / factor * factor; }

void check_side(const char* option, int64_t side, int64_t unit) {
  if (side < unit || side > kLargestSide || side % unit != 0)
    fail("{} is {}: expected a multiple of {} from {} to {}", option, side, unit, unit,
         kLargestSide / unit * unit);
}

void check_range(const char* option, double value, double low, double high) {
  if (!(value >= low && value <= high))
    fail("{} is {}: expected {} to {}", option, value, low, high);
}

formats::Image fitted(const formats::Image& image, const PictureRequest& request) {
  const int width = static_cast<int>(request.width), height = static_cast<int>(request.height);
  if (image.width == width && image.height == height) return image;
  return formats::resize(image, width, height, formats::Resample::lanczos);
}

// [1, H, W, 1]: 1 where the mask is white enough, else 0.
Tensor binary_mask(const formats::Image& mask) {
  Tensor x = from_image(formats::to_grey(mask), false);
  for (int64_t i = 0; i < x.numel(); ++i) x.f32()[i] = x.f32()[i] < 0.5f ? 0.0f : 1.0f;
  return x;
}

// [1, H, W, 1] -> [1, 1, h, w], as PyTorch's nearest interpolation.
Tensor latent_mask(const Tensor& mask, int64_t height, int64_t width) {
  Tensor small = Tensor::empty({1, 1, height, width});
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      small.f32()[y * width + x] = mask.f32()[(y * mask.size(1) / height) * mask.size(2) +
                                              x * mask.size(2) / width];
  return small;
}

Tensor scaled(const Tensor& x, float factor) {
  Tensor y = Tensor::empty(x.shape());
  for (int64_t i = 0; i < x.numel(); ++i) y.f32()[i] = factor * x.f32()[i];
  return y;
}

// A picture [1, H, W, 3] in [-1, 1] -> latents [1, C, h, w] as diffusion sees them; draws the
// posterior's noise.
Tensor encode_picture(PictureModel& model, const Tensor& picture, bool tiled,
                      base::Generator& generator) {
  const models::Vae& vae = model.vae(true);
  const models::LatentDistribution found =
      tiled ? vae.encode_tiled(picture) : vae.encode(picture);
  Tensor latents = found.mean;
  if (found.std.defined()) {
    const Shape& s = found.mean.shape();
    latents = found.sample(to_nhwc(randn(generator, {s[0], s[3], s[1], s[2]})));
  }
  const auto shift = static_cast<float>(vae.shift_factor());
  const auto factor = static_cast<float>(vae.scaling_factor());
  Tensor y = to_nchw(latents);
  for (int64_t i = 0; i < y.numel(); ++i) y.f32()[i] = (y.f32()[i] - shift) * factor;
  return y;
}

bool sees_mask(const PictureModel& model) {
  return model.unet_config().in_channels == model.unet_config().out_channels + kMaskedChannels;
}

bool upscales(const PictureModel& model) {
  return model.unet_config().in_channels == model.unet_config().out_channels + kPictureChannels &&
         model.low_res_scheduler() != nullptr;
}

// An upscaler's picture is a latent for each of its pixels.
void check_upscaling(const PictureModel& model, PictureRequest& request) {
  const models::UNetConfig& unet = model.unet_config();
  if (!request.image) fail("{}: this model enlarges a picture; give --image", unet.file);
  if (request.mask) fail("--mask: not with a model that enlarges pictures");
  if (!request.controls.empty()) fail("--controlnet: not with a model that enlarges pictures");
  if (request.noise_level < 0 || request.noise_level >= unet.class_count)
    fail("--noise-level is {}: expected 0 to {}", request.noise_level, unet.class_count - 1);
  const int64_t factor = model.factor();
  if (request.width == 0) request.width = fitting(request.image->width, factor) * factor;
  if (request.height == 0) request.height = fitting(request.image->height, factor) * factor;
}

// The small picture with noise of the level that was asked for, drawn first of all noise.
SmallPicture small_picture(const PictureModel& model, const PictureRequest& request,
                           base::Generator& generator) {
  const std::unique_ptr<Scheduler> scheduler = model.low_res_scheduler();
  const int64_t height = request.height / model.factor(), width = request.width / model.factor();
  formats::Image image = *request.image;
  if (image.width != width || image.height != height)
    image = formats::resize(image, static_cast<int>(width), static_cast<int>(height),
                            formats::Resample::bicubic);
  scheduler->set_timesteps(kTrainingSteps);
  const std::vector<float>& steps = scheduler->timesteps();
  const auto level = static_cast<float>(request.noise_level);
  const auto found = std::find(steps.begin(), steps.end(), level);
  if (found == steps.end())
    fail("--noise-level {}: low_res_scheduler has no such step", request.noise_level);
  const Tensor picture = to_nchw(from_image(image, true));
  return {scheduler->add_noise(picture, randn(generator, picture.shape()),
                               static_cast<size_t>(found - steps.begin())),
          level};
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

void check_request(const PictureModel& model, PictureRequest& request) {
  const int64_t unit = std::max<int64_t>(8, model.factor());
  if (request.mask && !request.image) fail("--mask: expected --image beside it");
  const bool enlarges = upscales(model);
  if (enlarges) check_upscaling(model, request);
  if (request.image) {
    if (request.width == 0) request.width = fitting(request.image->width, unit);
    if (request.height == 0) request.height = fitting(request.image->height, unit);
  } else if (!request.controls.empty()) {
    const formats::Image& picture = request.controls[0].picture;
    if (request.width == 0) request.width = fitting(picture.width, unit);
    if (request.height == 0) request.height = fitting(picture.height, unit);
  } else if (request.init_latents.defined()) {
    if (request.init_latents.dim() != 4)
      fail("--init-latents: shape {}, expected [1, {}, height / {}, width / {}]",
           tensor::shape_string(request.init_latents.shape()), model.unet_config().out_channels,
           model.factor(), model.factor());
    if (request.width == 0) request.width = request.init_latents.size(3) * model.factor();
    if (request.height == 0) request.height = request.init_latents.size(2) * model.factor();
  }
  if (request.width == 0) request.width = model.default_size();
  if (request.height == 0) request.height = model.default_size();
  check_side("--width", request.width, unit);
  check_side("--height", request.height, unit);
  if (request.mask &&
      (request.mask->width != request.image->width || request.mask->height != request.image->height))
    fail("--mask: the mask is {} x {}, the picture {} x {}; expected equal sizes",
         request.mask->width, request.mask->height, request.image->width, request.image->height);
  const models::UNetConfig& unet = model.unet_config();
  if (sees_mask(model) && !request.mask)
    fail("{}: in_channels is {}: this model inpaints; give --image and --mask", unet.file,
         unet.in_channels);
  if (!sees_mask(model) && !enlarges && unet.in_channels != unet.out_channels)
    fail("{}: in_channels is {}, out_channels {}: expected equal numbers, {} for inpainting, or {} "
         "for an upscaler (with low_res_scheduler)",
         unet.file, unet.in_channels, unet.out_channels, unet.out_channels + kMaskedChannels,
         unet.out_channels + kPictureChannels);
  if (request.init_latents.defined()) {
    const Shape expected = {1, unet.out_channels, request.height / model.factor(),
                            request.width / model.factor()};
    if (request.init_latents.dtype() != DType::f32 || request.init_latents.shape() != expected)
      fail("--init-latents: {} {}, expected f32 {}", dtype_name(request.init_latents.dtype()),
           tensor::shape_string(request.init_latents.shape()), tensor::shape_string(expected));
    if (request.image && !enlarges && !(request.mask && request.strength == 1))
      fail("--init-latents: not with --image, whose picture is where the latents begin");
  }
  if (request.controls.size() != model.controlnet_count())
    fail("--condition: {} pictures for {} ControlNets; expected one for each",
         request.controls.size(), model.controlnet_count());
  if (sees_mask(model) && !request.controls.empty())
    fail("--controlnet: not with a model that sees the mask");
  for (const ControlRequest& control : request.controls) {
    check_range("--conditioning-scale", control.scale, -100, 100);
    check_range("--control-start", control.start, 0, 1);
    check_range("--control-end", control.end, control.start, 1);
  }
  if (request.deep_cache < 1 || request.deep_cache > 10000)
    fail("--deep-cache is {}: expected 1 to 10000", request.deep_cache);
  check_range("--token-merging", request.token_merging, 0, 0.75);
  if (request.token_merging > 0 && unet.first_attending() == unet.levels.size())
    fail("--token-merging: {}: no level of this model attends to its own picture", unet.file);
  if (request.deep_cache > 1 && !request.controls.empty())
    fail("--deep-cache: not with a ControlNet, which changes the blocks that it would skip");
  if (request.steps < 1 || request.steps > 10000)
    fail("--steps is {}: expected 1 to 10000", request.steps);
  check_range("--guidance-scale", request.guidance_scale, 0, 1000);
  check_range("--guidance-rescale", request.guidance_rescale, 0, 1);
  check_range("--strength", request.strength, 0, 1);
  if (request.image && !enlarges &&
      static_cast<int64_t>(static_cast<double>(request.steps) * request.strength) < 1)
    fail("--strength {} of {} steps leaves no step; expected more of either", request.strength,
         request.steps);
  model.scheduler(request.scheduler)->set_timesteps(request.steps);
}

DenoiseJob prepare(PictureModel& model, const PictureRequest& request, const TextStates& text,
                   Scheduler& scheduler, base::Generator& generator) {
  const tensor::NoGrad no_grad;
  scheduler.set_timesteps(request.steps);
  if (request.eta != 0) scheduler.set_eta(request.eta);
  DenoiseJob job;
  job.scheduler = &scheduler;
  job.generator = &generator;
  job.guidance.text = text.text;
  job.guidance.negative = text.negative;
  job.guidance.scale = static_cast<float>(request.guidance_scale);
  job.guidance.rescale = static_cast<float>(request.guidance_rescale);
  job.guidance.pooled = text.pooled;
  job.guidance.negative_pooled = text.negative_pooled;
  const auto wide = static_cast<float>(request.width), high = static_cast<float>(request.height);
  job.guidance.time_ids = {high, wide, 0, 0, high, wide};  // the whole of a picture of this size
  job.guess_mode = request.guess_mode;
  job.deep_cache = request.deep_cache;
  job.token_merging = request.token_merging;
  const int64_t height = request.height / model.factor(), width = request.width / model.factor();
  const Shape shape = {1, model.unet_config().out_channels, height, width};
  Tensor picture, latents;
  if (upscales(model)) {
    job.small = small_picture(model, request, generator);
    const Tensor noise =
        request.init_latents.defined() ? request.init_latents : randn(generator, shape);
    job.sample = scaled(noise, scheduler.init_noise_sigma());
    return job;
  }
  if (request.image) {
    picture = from_image(fitted(*request.image, request), true);
    const auto kept = std::min(
        static_cast<int64_t>(static_cast<double>(request.steps) * request.strength), request.steps);
    job.first_step =
        static_cast<size_t>(request.steps - kept) * static_cast<size_t>(scheduler.order());
  }
  // Inpainting that makes everything anew begins with noise alone.
  const bool from_noise = !request.image || (request.mask && request.strength == 1);
  if (request.image && (!from_noise || !sees_mask(model)))
    latents = encode_picture(model, picture, request.tiled, generator);
  const Tensor noise =
      request.init_latents.defined() ? request.init_latents : randn(generator, shape);
  job.sample = from_noise ? scaled(noise, scheduler.init_noise_sigma())
                          : scheduler.add_noise(latents, noise, job.first_step);
  if (request.mask) {
    const Tensor mask = binary_mask(fitted(*request.mask, request));
    Tensor rest = picture.clone();
    for (int64_t i = 0; i < rest.numel(); ++i)
      if (mask.f32()[i / 3] >= 0.5f) rest.f32()[i] = 0;
    job.inpainting.mask = latent_mask(mask, height, width);
    // Drawn in any case, as diffusers does: a scheduler that adds noise goes on from there.
    const Tensor masked = encode_picture(model, rest, request.tiled, generator);
    if (sees_mask(model)) {
      job.inpainting.masked_latents = masked;
    } else {
      job.inpainting.latents = latents;
      job.inpainting.noise = noise;
    }
  }
  for (size_t i = 0; i < request.controls.size(); ++i) {
    const ControlRequest& control = request.controls[i];
    job.controls.push_back({&model.controlnet(i), from_image(fitted(control.picture, request), false),
                            control.scale, control.start, control.end});
  }
  return job;
}

formats::Image decode_latents(PictureModel& model, const Tensor& latents, bool tiled) {
  const tensor::NoGrad no_grad;
  tensor::release_cached_blocks();  // decoding needs the most memory of all stages, in larger blocks
  const models::Vae& vae = model.vae(false);
  const auto shift = static_cast<float>(vae.shift_factor());
  const auto factor = static_cast<float>(vae.scaling_factor());
  Tensor z = to_nhwc(latents);
  for (int64_t i = 0; i < z.numel(); ++i) z.f32()[i] = z.f32()[i] / factor + shift;
  return to_image(tiled ? vae.decode_tiled(z) : vae.decode(z));
}

Picture make_picture(PictureModel& model, const PictureRequest& request, const TextStates& text,
                     uint64_t seed, const std::function<void(const DenoiseStep&)>& after_step,
                     Seconds* seconds) {
  base::Generator generator(seed);
  const std::unique_ptr<Scheduler> scheduler = model.scheduler(request.scheduler);
  auto start = std::chrono::steady_clock::now();
  const auto lap = [&](double* sum) {
    *sum += seconds_since(start);
    start = std::chrono::steady_clock::now();
  };
  DenoiseJob job = prepare(model, request, text, *scheduler, generator);
  model.text_done();
  job.unet = &model.unet();
  job.after_step = after_step;
  lap(&seconds->prepare);
  Picture picture;
  picture.latents = denoise(job);
  seconds->network_calls += scheduler->timesteps().size() - job.first_step;
  lap(&seconds->denoise);
  model.denoising_done();
  picture.image = decode_latents(model, picture.latents, request.tiled);
  lap(&seconds->decode);
  if (const SafetyChecker* checker = model.safety_checker()) {
    picture.flagged = checker->check(picture.image).flagged;
    if (picture.flagged) std::fill(picture.image.pixels.begin(), picture.image.pixels.end(), 0);
    model.checking_done();
    lap(&seconds->check);
  }
  return picture;
}

}  // namespace sumi::diffusion

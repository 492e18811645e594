#include "diffusion/safety_checker.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "formats/image_resize.h"
#include "nn/float_rows.h"
#include "tensor/autograd.h"

namespace sumi::diffusion {

namespace {

using models::Config;

nn::WeightName named(const std::string& name) { return {name, name, false, {}}; }

// A number, or an object with one of these keys.
int64_t side(const Config& config, const char* field, const std::vector<const char*>& keys) {
  if (!config.has(field)) return 224;
  int64_t value = 0;
  if (config.json().at(field).is_object()) {
    const Config inner = config.get_object(field);
    for (const char* key : keys) value = std::max(value, inner.get_int(key, 0));
  } else {
    value = config.get_int(field);
  }
  if (value < 1 || value > 4096)
    fail("{}: {}: expected 1 to 4096 pixels, found {}", config.file(), field,
         config.json().at(field).dump());
  return value;
}

// The vision tower's fields; older files have them under either name.
models::ClipVisionSpec vision_spec(const Config& config) {
  nlohmann::json fields = nlohmann::json::object();
  for (const char* part : {"vision_config", "vision_config_dict"})
    if (config.has(part)) fields.update(config.get_object(part).json());
  return models::clip_vision_spec(Config(fields, config.file() + ": vision_config"));
}

// cos(embedding, concept) - threshold + adjustment, to three decimals.
std::vector<double> scores(const Tensor& embedding, const Tensor& concepts,
                           const Tensor& thresholds, double adjustment) {
  std::vector<double> all;
  const int64_t width = concepts.size(1);
  for (int64_t c = 0; c < concepts.size(0); ++c) {
    double cosine = 0;
    for (int64_t i = 0; i < width; ++i)
      cosine += static_cast<double>(embedding.f32()[i]) * concepts.f32()[c * width + i];
    all.push_back(std::nearbyint((cosine - thresholds.f32()[c] + adjustment) * 1000) / 1000);
  }
  return all;
}

bool any_above(const std::vector<double>& scores) {
  return std::any_of(scores.begin(), scores.end(), [](double score) { return score > 0; });
}

// [1, crop, crop, 3]
Tensor prepared(const formats::Image& image, const ClipPreprocessing& preprocessing) {
  const int64_t shorter = std::min(image.width, image.height);
  const auto sized = [&](int64_t length) {
    return static_cast<int>(length == shorter ? preprocessing.size
                                              : preprocessing.size * length / shorter);
  };
  const formats::Image small = formats::resize(image, sized(image.width), sized(image.height),
                                               formats::Resample::bicubic);
  const int crop = static_cast<int>(preprocessing.crop);
  const formats::Image middle = formats::center_crop(small, crop, crop);
  Tensor x = Tensor::empty({1, crop, crop, 3});
  for (int64_t i = 0; i < x.numel(); ++i) {
    const auto channel = static_cast<size_t>(i % 3);
    const float value = static_cast<float>(middle.pixels[static_cast<size_t>(i)]) / 255.0f;
    x.f32()[i] = (value - preprocessing.mean[channel]) / preprocessing.std[channel];
  }
  return x;
}

}  // namespace

ClipPreprocessing clip_preprocessing(const Config& config) {
  ClipPreprocessing preprocessing;
  for (const char* step : {"do_resize", "do_center_crop", "do_normalize"})
    if (!config.get_bool(step, true)) fail("{}: {}: expected true", config.file(), step);
  if (const int64_t kind = config.get_int("resample", 3); kind != 3)
    fail("{}: resample: expected 3 (bicubic), found {}", config.file(), kind);
  preprocessing.size = side(config, "size", {"shortest_edge"});
  preprocessing.crop = side(config, "crop_size", {"height", "width"});
  if (preprocessing.crop > preprocessing.size)
    fail("{}: crop_size {}: expected at most size, {}", config.file(), preprocessing.crop,
         preprocessing.size);
  preprocessing.mean = config.get_floats("image_mean");
  preprocessing.std = config.get_floats("image_std");
  if (preprocessing.mean.empty()) preprocessing.mean = {0.48145466f, 0.4578275f, 0.40821073f};
  if (preprocessing.std.empty()) preprocessing.std = {0.26862954f, 0.26130258f, 0.27577711f};
  for (const auto* values : {&preprocessing.mean, &preprocessing.std})
    if (values->size() != 3)
      fail("{}: image_mean and image_std: expected 3 numbers, found {}", config.file(),
           values->size());
  for (const float deviation : preprocessing.std)
    if (!(deviation > 0)) fail("{}: image_std: expected more than 0", config.file());
  return preprocessing;
}

void check_safety_checker(const Config& config, const Config& preprocessor) {
  const models::ClipVisionSpec spec = vision_spec(config);
  const int64_t crop = clip_preprocessing(preprocessor).crop;
  if (crop != spec.image_size)
    fail("{}: crop_size is {}, the safety checker's image_size {}; expected equal numbers",
         preprocessor.file(), crop, spec.image_size);
}

SafetyChecker::SafetyChecker(const Config& config, const formats::TensorSource& source,
                             const Config& preprocessor, const nn::LoadOptions& options)
    : spec_(vision_spec(config)), preprocessing_(clip_preprocessing(preprocessor)) {
  check_safety_checker(config, preprocessor);
  nn::LoadOptions load = options;
  load.many_rows = true;
  nn::WeightLoader loader(source, load);
  const std::string twice = "vision_model.vision_model.";  // since transformers 5.6 once
  vision_.emplace_back(spec_, loader,
                       source.has(twice + "post_layernorm.weight") ? twice : "vision_model.");
  const int64_t width = config.get_int("projection_dim", 512);
  if (width < 1 || width > int64_t{1} << 16)
    fail("{}: projection_dim is {}, expected 1 to {}", config.file(), width, int64_t{1} << 16);
  projection_ = loader.linear({named("visual_projection")}, {width}, spec_.hidden_size, false);
  const auto table = [&](const std::string& name, Tensor& rows, Tensor& thresholds) {
    const Tensor stored = source.get(name + "_weights");
    const int64_t count = stored.numel();
    if (stored.dim() != 1 || count < 1)
      fail("{}: tensor {}_weights: expected one axis, found shape {}", source.describe(), name,
           tensor::shape_string(stored.shape()));
    thresholds = loader.values(named(name + "_weights"), {count});
    rows = nn::unit_rows(loader.values(named(name), {count, width}));
  };
  table("concept_embeds", concepts_, concept_thresholds_);
  table("special_care_embeds", special_, special_thresholds_);
  loader.check_all_used([](const std::string& name) {
    return name.find("embeddings.position_ids") != std::string::npos;
  });
}

SafetyChecker::Verdict SafetyChecker::check(const formats::Image& picture) const {
  const tensor::NoGrad no_grad;
  const Tensor embedding =
      nn::unit_rows(projection_(vision_[0].pooled(prepared(picture, preprocessing_))));
  Verdict verdict;
  // A concept of the first list lowers the threshold of those that come after it by 0.01.
  double adjustment = 0;
  const int64_t width = special_.size(1);
  for (int64_t c = 0; c < special_.size(0); ++c) {
    const Tensor threshold = special_thresholds_.view({special_.size(0), 1}).rows(c, 1);
    verdict.special.push_back(
        scores(embedding, special_.rows(c, 1).view({1, width}), threshold, adjustment)[0]);
    if (verdict.special.back() > 0) adjustment = 0.01;
  }
  verdict.concepts = scores(embedding, concepts_, concept_thresholds_, adjustment);
  verdict.flagged = any_above(verdict.concepts);
  return verdict;
}

}  // namespace sumi::diffusion

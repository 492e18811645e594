#include "train/picture_task.h"

#include <algorithm>

#include "base/error.h"
#include "diffusion/condition/condition.h"
#include "diffusion/layout.h"
#include "ops/loss.h"
#include "tensor/autograd.h"

namespace sumi::train {
namespace {

const std::string kNoPrompt;

}  // namespace

uint64_t loss_seed(uint64_t key, int64_t first_example) {
  uint64_t x = key + 0x9e3779b97f4a7c15u * (static_cast<uint64_t>(first_example) + 1);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

PictureTask::PictureTask(const PictureParts& parts, const diffusion::TrainingNoise& noise,
                         PictureFeatures& features, size_t set, std::optional<size_t> classes,
                         const PictureLossOptions& options,
                         std::vector<std::shared_ptr<nn::DropoutClock>> clocks)
    : parts_(parts),
      noise_(noise),
      features_(features),
      set_(set),
      classes_(classes),
      options_(options),
      clocks_(std::move(clocks)) {}

int64_t PictureTask::size() const {
  const int64_t own = features_.set(set_).size();
  return classes_ ? std::max(own, features_.set(*classes_).size()) : own;
}

std::vector<PictureTask::Row> PictureTask::draw_rows(std::span<const int64_t> examples,
                                                     base::Generator& generator) const {
  std::vector<Row> rows;
  const auto add = [&](size_t set) {
    for (const int64_t example : examples) {
      float draws[4];
      generator.rand(draws);
      Row row{.set = set, .index = example % features_.set(set).size(), .crop = {}};
      row.crop.flip = options_.random_flip && draws[0] < 0.5f;
      row.crop.centre = !options_.random_crop;
      row.crop.x = draws[2];
      row.crop.y = draws[3];
      row.empty_prompt = double{draws[1]} < options_.empty_prompts;
      rows.push_back(row);
    }
  };
  add(set_);
  if (classes_) add(*classes_);
  return rows;
}

// [B, h, w, C]: as diffusion sees them.
Tensor PictureTask::clean_latents(const std::vector<Row>& rows, base::Generator& generator) const {
  std::vector<Tensor> means, spreads;
  for (const Row& row : rows) {
    const models::LatentDistribution found = features_.latents(row.set, row.index, row.crop);
    means.push_back(found.mean);
    if (found.std.defined()) spreads.push_back(found.std);
  }
  models::LatentDistribution all{diffusion::concat_first(means), {}};
  Tensor latents = all.mean;
  if (!spreads.empty()) {
    all.std = diffusion::concat_first(spreads);
    const Shape& s = all.mean.shape();
    latents =
        all.sample(diffusion::to_nhwc(diffusion::randn(generator, {s[0], s[3], s[1], s[2]})));
  }
  Tensor scaled = Tensor::empty(latents.shape());
  const auto shift = static_cast<float>(parts_.shift_factor);
  const auto factor = static_cast<float>(parts_.scaling_factor);
  for (int64_t i = 0; i < scaled.numel(); ++i)
    scaled.f32()[i] = (latents.f32()[i] - shift) * factor;
  return scaled;
}

// [B, T, C]
Tensor PictureTask::text_states(const std::vector<Row>& rows) const {
  const auto prompt = [&](const Row& row) -> const std::string& {
    return row.empty_prompt ? kNoPrompt : features_.set(row.set).prompt(row.index);
  };
  if (!parts_.text) {
    std::vector<Tensor> states;
    for (const Row& row : rows) states.push_back(features_.text(prompt(row)));
    return diffusion::concat_first(states);
  }
  std::vector<int32_t> ids;
  for (const Row& row : rows)
    for (const int32_t id : features_.tokens(prompt(row)).ids) ids.push_back(id);
  const auto batch = static_cast<int64_t>(rows.size());
  return parts_.text->hidden_states(
      Tensor::from_ids(ids, {batch, static_cast<int64_t>(ids.size()) / batch}));
}

Tensor PictureTask::condition(int64_t row, const Crop& crop) const {
  const PictureSet& set = features_.set(set_);
  const formats::Image image =
      options_.condition.empty()
          ? cropped(set.condition(row), features_.size(), crop)
          : formats::to_rgb(diffusion::condition_picture(
                options_.condition, cropped(set.image(row), features_.size(), crop)));
  return diffusion::from_image(image, false);
}

Tensor PictureTask::loss(std::span<const int64_t> examples, uint64_t key) {
  for (const auto& clock : clocks_) {
    clock->step = key;
    clock->on = tensor::grad_enabled();
  }
  base::Generator generator(loss_seed(key, examples[0]));
  const std::vector<Row> rows = draw_rows(examples, generator);
  const auto batch = static_cast<int64_t>(rows.size());
  const Tensor clean = clean_latents(rows, generator);
  const Shape& s = clean.shape();
  Tensor noise = diffusion::to_nhwc(diffusion::randn(generator, {batch, s[3], s[1], s[2]}));
  if (options_.noise_offset > 0) {
    const Tensor offsets = diffusion::randn(generator, {batch, s[3]});
    const int64_t pixels = s[1] * s[2], channels = s[3];
    for (int64_t i = 0; i < noise.numel(); ++i)
      noise.f32()[i] += static_cast<float>(options_.noise_offset) *
                        offsets.f32()[i / (pixels * channels) * channels + i % channels];
  }
  std::vector<int64_t> timesteps(rows.size());
  generator.randint(0, noise_.timesteps(), timesteps);

  models::UNetInput input;
  input.sample = noise_.noisy(clean, noise, timesteps);
  input.timesteps.assign(timesteps.begin(), timesteps.end());
  input.context = text_states(rows);
  models::UNetResiduals residuals;
  if (parts_.control) {
    std::vector<Tensor> conditions;
    for (const Row& row : rows) conditions.push_back(condition(row.index, row.crop));
    residuals = (*parts_.control)(input, diffusion::concat_first(conditions));
  }
  const Tensor predicted = (*parts_.unet)(input, parts_.control ? &residuals : nullptr);

  std::vector<float> weights;
  for (size_t i = 0; i < rows.size(); ++i) {
    double weight = 1 / static_cast<double>(examples.size());
    if (options_.snr_gamma > 0)
      weight *= double{noise_.snr_weight(timesteps[i], options_.snr_gamma)};
    if (i >= examples.size()) weight *= options_.prior_weight;
    weights.push_back(static_cast<float>(weight));
  }
  return ops::squared_error(predicted, noise_.target(clean, noise, timesteps), weights);
}

}  // namespace sumi::train

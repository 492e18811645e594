// Learning to take noise out of pictures: the task of all trainings of picture models.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "diffusion/training_noise.h"
#include "models/diffusion/controlnet.h"
#include "models/encoders/clip.h"
#include "nn/lora.h"
#include "train/picture_features.h"
#include "train/task.h"

namespace sumi::train {

struct PictureParts {
  const models::UNet* unet = nullptr;
  const models::ControlNet* control = nullptr;  // may be null
  const models::ClipText* text = nullptr;       // null: prompts' states are features
  double scaling_factor = 1, shift_factor = 0;  // of latents, as diffusion sees them
};

struct PictureLossOptions {
  bool random_crop = false, random_flip = false;
  double empty_prompts = 0;       // share of examples whose prompt is left out
  double snr_gamma = 0;           // 0: all timesteps count alike
  double noise_offset = 0;        // noise that is the same over a channel, added to the noise
  double prior_weight = 1;        // of class pictures beside an example's own
  std::string condition;          // the kind made of the picture itself; empty: the data set's
};

class PictureTask : public Task {
 public:
  // `set` of the features is what is learned; with `classes`, another set's picture goes along with
  // each example (prior preservation, arXiv:2208.12242). All must outlive the task. `clocks` are
  // set for each loss.
  PictureTask(const PictureParts& parts, const diffusion::TrainingNoise& noise,
              PictureFeatures& features, size_t set, std::optional<size_t> classes,
              const PictureLossOptions& options,
              std::vector<std::shared_ptr<nn::DropoutClock>> clocks);

  int64_t size() const override;
  double weight(std::span<const int64_t> examples) const override {
    return static_cast<double>(examples.size());
  }
  int64_t units(std::span<const int64_t> examples) const override {
    return static_cast<int64_t>(examples.size());
  }
  // Drawn from one generator of torch's kind, seeded by loss_seed(): for each picture (examples,
  // then their classes) rand(4), which decides mirroring, empty prompt and place; randn for the
  // autoencoder's spread, if it has one; randn for the noise; randn [B, C] if there is an offset;
  // randint for the timesteps. Noise is drawn as [B, C, h, w].
  Tensor loss(std::span<const int64_t> examples, uint64_t key) override;

  // The picture a ControlNet is shown, [1, size, size, 3] in [0, 1].
  Tensor condition(int64_t row, const Crop& crop) const;

 private:
  struct Row {
    size_t set;
    int64_t index;
    Crop crop;
    bool empty_prompt = false;
  };
  std::vector<Row> draw_rows(std::span<const int64_t> examples, base::Generator& generator) const;
  Tensor clean_latents(const std::vector<Row>& rows, base::Generator& generator) const;
  Tensor text_states(const std::vector<Row>& rows) const;

  PictureParts parts_;
  const diffusion::TrainingNoise& noise_;
  PictureFeatures& features_;
  size_t set_;
  std::optional<size_t> classes_;
  PictureLossOptions options_;
  std::vector<std::shared_ptr<nn::DropoutClock>> clocks_;
};

// The generator's seed of a batch: `key` and its first example, mixed (splitmix64).
uint64_t loss_seed(uint64_t key, int64_t first_example);

}  // namespace sumi::train

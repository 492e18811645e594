// Trainings of tiny picture models against diffusers' losses (tools/reference/picture_training.py).
#include "train/picture_training.h"

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "cli/command.h"
#include "expected.h"

namespace sumi::train {
namespace {

const std::string kData = std::string(SUMI_TEST_DATA) + "/train/pictures";
const std::string kPipelines = std::string(SUMI_TEST_DATA) + "/pipelines/";
const std::atomic<bool> kGoOn{false};

PictureTrainingOptions options_for(const std::string& model, const std::string& folder) {
  PictureTrainingOptions o;
  o.model = kPipelines + model;
  o.data = kData;
  o.resolution = 32;
  o.steps = 6;
  o.trainer.schedule = {.name = "constant", .learning_rate = 2e-3};
  o.run.folder = folder;
  return o;
}

// The task's losses with the examples and keys of the reference, whatever the trainer's order.
class AsReference : public Task {
 public:
  explicit AsReference(PictureTask& task) : task_(task) {}
  int64_t size() const override { return 3; }
  double weight(std::span<const int64_t>) const override { return 1; }
  int64_t units(std::span<const int64_t>) const override { return 1; }
  Tensor loss(std::span<const int64_t>, uint64_t) override {
    const int64_t examples[] = {2 * step_ % 3, (2 * step_ + 1) % 3};
    const auto key = static_cast<uint64_t>(1000 + 7 * (step_ % 3));
    ++step_;
    return task_.loss(examples, key);
  }

 private:
  PictureTask& task_;
  int64_t step_ = 0;
};

void expect_losses(PictureTraining& training, const std::string& name) {
  const formats::SafetensorsFile expected(kData + "/losses.safetensors");
  AsReference task(training.task());
  TrainerOptions options;
  options.schedule = {.name = "constant", .learning_rate = 2e-3, .total_steps = 6};
  Trainer trainer(task, training.trainer().parameters(), options);
  const Tensor losses = expected.get(name + ".losses");
  for (int64_t step = 0; step < losses.numel(); ++step)
    EXPECT_NEAR(trainer.run_step().loss, losses.f32()[step], 1e-4 * losses.f32()[step])
        << name << ", step " << step;
}

class Losses : public testing::TestWithParam<bool> {};  // with checkpointed blocks

TEST_P(Losses, OfAControlNet) {
  const cli::Folder folder;
  PictureTrainingOptions o = options_for("sd1", folder.path());
  o.nets.control = true;
  o.nets.controlnet = kPipelines + "parts/controlnet";
  o.nets.checkpoint_blocks = GetParam();
  o.loss.random_flip = true;
  o.loss.empty_prompts = 0.3;
  PictureTraining training(o, false, {}, kGoOn);
  expect_losses(training, "controlnet");
}

TEST_P(Losses, OfAUNetWithVelocitiesMinSnrAndNoiseOffset) {
  const cli::Folder folder;
  PictureTrainingOptions o = options_for("sd2_v", folder.path());
  o.nets.checkpoint_blocks = GetParam();
  o.loss.snr_gamma = 5;
  o.loss.noise_offset = 0.1;
  PictureTraining training(o, false, {}, kGoOn);
  expect_losses(training, "image");
}

TEST_P(Losses, OfAdaptersOfUNetAndTextEncoder) {
  const cli::Folder folder;
  PictureTrainingOptions o = options_for("sd1", folder.path());
  o.nets.lora = true;
  o.nets.text_encoder = true;
  o.nets.lora_config.rank = 2;
  o.nets.lora_config.alpha = 3;
  o.nets.lora_config.targets = {"to_q", "to_k", "to_v", "to_out.0"};
  o.nets.checkpoint_blocks = GetParam();
  o.cache = false;
  PictureTraining training(o, true, {}, kGoOn);
  const formats::SafetensorsFile begin(kData + "/losses.safetensors");
  for (Parameter parameter : training.trainer().parameters()) {
    std::string name = parameter.name;
    if (!begin.has(name))  // transformers' newer names
      if (const size_t at = name.find("text_model."); at != std::string::npos) name.erase(at, 11);
    const Tensor stored = begin.get(name);
    ASSERT_EQ(stored.shape(), parameter.value.shape()) << name;
    std::memcpy(parameter.value.bytes(), stored.bytes(), static_cast<size_t>(stored.nbytes()));
  }
  expect_losses(training, "lora");
}

TEST_P(Losses, OfDreamboothWithClassesAndTextEncoder) {
  const cli::Folder folder;
  PictureTrainingOptions o = options_for("sd1", folder.path());
  o.instance_prompt = "a sks circle";
  o.class_prompt = "a circle";
  o.class_data = kData + "/outlines";
  o.class_count = 3;
  o.loss.prior_weight = 0.7;
  o.nets.text_encoder = true;
  o.nets.checkpoint_blocks = GetParam();
  PictureTraining training(o, false, {}, kGoOn);
  expect_losses(training, "dreambooth");
}

INSTANTIATE_TEST_SUITE_P(EqualDiffusers, Losses, testing::Values(false, true),
                         [](const auto& param) { return param.param ? "Checkpointed" : "Plain"; });

// What is cached gives the bits of what is encoded in each step; a changed data set is noticed.
TEST(PictureCache, ChangesNothing) {
  const cli::Folder folder;
  PictureTrainingOptions o = options_for("sd1", folder.path());
  o.loss.random_flip = true;
  bool there = false;
  PictureTrainingHooks hooks;
  hooks.cache_was_there = [&] { there = true; };
  const auto losses = [&](bool cache, const std::string& data) {
    o.cache = cache;
    o.data = data;
    there = false;
    PictureTraining training(o, false, hooks, kGoOn);
    std::vector<double> all;
    for (int i = 0; i < 4; ++i) all.push_back(training.trainer().run_step().loss);
    return all;
  };
  const std::vector<double> fresh = losses(false, kData);
  EXPECT_EQ(losses(true, kData), fresh);
  EXPECT_FALSE(there);
  EXPECT_EQ(losses(true, kData), fresh);
  EXPECT_TRUE(there);
  const std::string changed = folder / "data";
  std::filesystem::copy(kData, changed, std::filesystem::copy_options::recursive);
  std::filesystem::copy_file(changed + "/blue.png", changed + "/red.png",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(losses(true, changed), fresh);
  EXPECT_FALSE(there);
}

// A fresh ControlNet's first loss is that of the UNet without it.
TEST(ControlNetTraining, ChangesNothingAtTheFirstStep) {
  const cli::Folder folder;
  PictureTrainingOptions o = options_for("sd1", folder.path());
  o.cache = false;
  PictureTraining without(o, true, {}, kGoOn);
  o.nets.control = true;
  PictureTraining with(o, true, {}, kGoOn);
  const int64_t examples[] = {0, 2};
  EXPECT_EQ(with.task().loss(examples, 5).f32()[0], without.task().loss(examples, 5).f32()[0]);
  EXPECT_LT(with.sizes().trained_weights, 600000);
}

}  // namespace
}  // namespace sumi::train

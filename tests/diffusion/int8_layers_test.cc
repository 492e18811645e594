#include "diffusion/int8_layers.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "kernels/picture_tiles.h"
#include "models/diffusion/wide_unet.h"
#include "tensor/autograd.h"

namespace sumi::diffusion {
namespace {

TEST(SensitiveLayers, HaveTheMostErrorForEachWeight) {
  const std::vector<LayerError> errors = {{"small", 2, 10}, {"large", 4, 60}, {"quiet", 0.1, 20}, {"loud", 3, 10}};
  using Names = std::vector<std::string>;
  EXPECT_EQ(sensitive_layers(errors, 0), Names());
  EXPECT_EQ(sensitive_layers(errors, 0.1), Names({"loud"}));
  EXPECT_EQ(sensitive_layers(errors, 0.25), Names({"loud", "small"}));
  EXPECT_EQ(sensitive_layers(errors, 0.4), Names({"loud", "small", "quiet"})) << "what has room";
  EXPECT_EQ(sensitive_layers(errors, 1), Names({"loud", "small", "large", "quiet"}));
  EXPECT_THROW(sensitive_layers(errors, 1.1), Error);
}

TEST(Int8LayersFile, IsReadAsWritten) {
  const std::string path = std::filesystem::temp_directory_path() / ("sumi-layers-" + std::to_string(::getpid()));
  write_int8_layers(path, {{"a.b", 0.5, 7}, {"c", 0, 1}}, {"a.b"});
  EXPECT_EQ(read_kept_layers(path), std::unordered_set<std::string>({"a.b"}));
  using Names = std::unordered_set<std::string>;
  EXPECT_EQ(layers_with_prefix({"a.b", "controlnet.0.a", "controlnet.1.a", "controlnet.10.b"}, control_prefix(1)), Names({"a"}));
  for (const char* bad : {"[]", "{}", R"({"kept": 3})", R"({"kept": [3]})"}) {
    std::ofstream(path, std::ios::trunc) << bad;
    EXPECT_THROW(read_kept_layers(path), Error) << bad;
  }
  std::filesystem::remove(path);
}

nn::LoadOptions in_int8() {
  nn::LoadOptions options;
  options.compute = ops::PackedWeight::Compute::bf16;
  options.int8_weights = true;
  return options;
}

double change(const Tensor& a, const Tensor& b) {
  double sum = 0, all = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    sum += std::pow(a.f32()[i] - b.f32()[i], 2);
    all += std::pow(b.f32()[i], 2);
  }
  return sum / all;
}

TEST(MeasureInt8, EachLayerAlone) {
  if (!kernels::has_picture_tiles()) GTEST_SKIP() << "no tiles here";
  const tensor::NoGrad no_grad;
  models::UNetInput input;
  input.sample = Tensor::empty({1, 16, 16, 4});
  for (int64_t i = 0; i < input.sample.numel(); ++i) input.sample.f32()[i] = std::sin(static_cast<float>(3 * i));
  input.timesteps = {500};
  input.context = Tensor::empty({1, 5, 64});
  for (int64_t i = 0; i < input.context.numel(); ++i) input.context.f32()[i] = std::cos(static_cast<float>(i));

  nn::LoadOptions options = in_int8();
  options.int8_trial = std::make_shared<nn::Int8Trial>();
  const auto tried = models::wide_unet(options, 64);
  const Tensor plain = (*tried)(input);
  const std::vector<LayerError> errors = measure_int8(
      {{"", options.int8_trial.get()}}, [&](size_t) { return (*tried)(input); }, 1, {});
  ASSERT_GT(errors.size(), 20u);
  EXPECT_EQ(change((*tried)(input), plain), 0) << "a trial ends as it began";
  double most = 0;
  std::unordered_set<std::string> kept;
  for (const LayerError& one : errors) {
    EXPECT_LT(one.error, 0.01) << one.name;
    EXPECT_GT(one.weights, 0);
    most = std::max(most, one.error);
    kept.insert(one.name);
  }
  EXPECT_GT(most, 0);

  // All in int8, all but one, and none.
  nn::LoadOptions all = in_int8(), one = in_int8(), none = in_int8();
  EXPECT_GT(change((*models::wide_unet(all, 64))(input), plain), most / 10);
  none.not_int8 = std::make_shared<const std::unordered_set<std::string>>(kept);
  EXPECT_EQ(change((*models::wide_unet(none, 64))(input), plain), 0);
  const LayerError& loudest = *std::max_element(errors.begin(), errors.end(), [](const auto& a, const auto& b) {
    return a.error < b.error;
  });
  kept.erase(loudest.name);
  one.not_int8 = std::make_shared<const std::unordered_set<std::string>>(kept);
  EXPECT_NEAR(change((*models::wide_unet(one, 64))(input), plain), loudest.error, 1e-12);
}

}  // namespace
}  // namespace sumi::diffusion

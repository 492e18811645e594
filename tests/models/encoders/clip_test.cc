// CLIP text encoders against transformers (tests/data/clip, written by tools/reference/clip.py).
#include "models/encoders/clip.h"

#include <gtest/gtest.h>

#include "formats/safetensors.h"
#include "models/language/reference.h"
#include "tensor/autograd.h"

namespace sumi::models {
namespace {

std::string folder(const std::string& name) {
  return std::string(SUMI_TEST_DATA) + "/clip/" + name;
}

formats::SafetensorsFile expected(const std::string& name) {
  return formats::SafetensorsFile(folder(name) + "/expected.safetensors");
}

ClipText open(const std::string& name, ops::PackedWeight::Compute compute, bool trainable = false) {
  nn::LoadOptions options;
  options.compute = compute;
  options.trainable = trainable;
  return ClipText::open(folder(name), options);
}

class ClipCase : public testing::TestWithParam<const char*> {};

TEST_P(ClipCase, EqualsTransformers) {
  const formats::SafetensorsFile want = expected(GetParam());
  const ClipText clip = open(GetParam(), ops::PackedWeight::Compute::f32);
  const Tensor ids = want.get("ids");
  const Tensor hidden = clip.hidden_states(ids);
  EXPECT_EQ(hidden.shape(), want.get("hidden").shape());
  EXPECT_LE(relative_error(hidden, want.get("hidden")), 1e-4);
  EXPECT_LE(relative_error(clip.hidden_states(ids, 1), want.get("skipped")), 1e-4);
  const Tensor pooled = clip.pooled(ids, hidden);
  EXPECT_EQ(pooled.shape(), want.get("pooled").shape());
  EXPECT_LE(relative_error(pooled, want.get("pooled")), 1e-4);
  const ClipText half = open(GetParam(), ops::PackedWeight::Compute::bf16);
  EXPECT_LE(relative_deviation(half.hidden_states(ids), want.get("hidden")), 0.05);
}

INSTANTIATE_TEST_SUITE_P(All, ClipCase, testing::Values("clip", "clip_gelu", "clip_projection"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Clip, GradientsEqualPyTorch) {
  const formats::SafetensorsFile want = expected("clip_gelu");
  const ClipText clip = open("clip_gelu", ops::PackedWeight::Compute::stored, true);
  const Tensor hidden = clip.hidden_states(want.get("ids"));
  Tensor gradient = want.get("mix").clone();  // d mean(hidden * mix) / d hidden
  for (int64_t i = 0; i < gradient.numel(); ++i)
    gradient.f32()[i] /= static_cast<float>(gradient.numel());
  tensor::backward(hidden, gradient);
  size_t compared = 0;
  for (const auto& [name, parameter] : clip.parameters()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(want.has("grad." + name));
    // The gradient of a key's bias is 0 but for rounding.
    if (name.find("k_proj.bias") != std::string::npos) continue;
    EXPECT_LE(relative_error(parameter.grad(), want.get("grad." + name)), 1e-4);
    ++compared;
  }
  EXPECT_EQ(compared, 3u * 15 + 4);
}

std::string failure(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Clip, ErrorsNameWhatIsWrong) {
  const ClipText clip = open("clip_gelu", ops::PackedWeight::Compute::f32);
  EXPECT_NE(failure([&] {
              clip.hidden_states(Tensor::from_ids({1, 2}, {1, 2}), 3);
            }).find("clip skip 3"),
            std::string::npos);
  EXPECT_NE(failure([&] {
              const Tensor ids = Tensor::from_ids({1, 2}, {1, 2});
              clip.pooled(ids, clip.hidden_states(ids));
            }).find("has no id 130"),
            std::string::npos);
  EXPECT_NE(failure([&] {
              clip.hidden_states(Tensor::from_ids(std::vector<int32_t>(21, 1), {1, 21}));
            }).find("context is 20"),
            std::string::npos);
  nlohmann::json object = formats::read_json_file(folder("clip") + "/config.json");
  object["architectures"] = {"BertModel"};
  const formats::SafetensorsFile file(folder("clip") + "/model.safetensors");
  EXPECT_NE(failure([&] { ClipText(Config(object, "config.json"), file, {}); }).find("BertModel"),
            std::string::npos);
}

}  // namespace
}  // namespace sumi::models

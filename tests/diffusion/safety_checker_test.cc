// The safety checker's scores against diffusers': tests/data/pipelines_more/checked, written by
// tools/reference/pipelines_more.py.
#include "diffusion/safety_checker.h"

#include <gtest/gtest.h>

#include "diffusion/picture_files.h"
#include "formats/safetensors.h"

namespace sumi::diffusion {
namespace {

const std::string kData = SUMI_TEST_DATA;

TEST(SafetyChecker, ScoresAreDiffusers) {
  const auto files = open_picture_files(kData + "/pipelines_more/checked");
  nn::LoadOptions options;
  options.compute = ops::PackedWeight::Compute::f32;
  const SafetyChecker checker(files->config("safety_checker"), *files->weights("safety_checker"),
                              files->preprocessor(), options);
  const SafetyChecker::Verdict verdict =
      checker.check(formats::read_image(kData + "/pipelines/inputs/picture.png"));
  const formats::SafetensorsFile expected(kData + "/pipelines_more/expected.safetensors");
  for (const auto& [name, found] :
       {std::pair{"checked.special", verdict.special}, {"checked.concepts", verdict.concepts}}) {
    const std::vector<float> wanted = expected.get(name).to_vector();
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(found[i], wanted[i], 2e-3) << name << i;
  }
}

TEST(SafetyChecker, PreprocessingThatIsNotKnownIsNamed) {
  const auto error = [](const char* text) {
    try {
      clip_preprocessing(models::Config(nlohmann::json::parse(text), "file"));
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(error(R"({"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}})"),
            "no error");
  EXPECT_EQ(error(R"({"resample": 2})"), "file: resample: expected 3 (bicubic), found 2");
  EXPECT_EQ(error(R"({"do_center_crop": false})"), "file: do_center_crop: expected true");
  EXPECT_NE(error(R"({"size": 32})").find("crop_size 224: expected at most size, 32"),
            std::string::npos);
  EXPECT_NE(error(R"({"image_mean": [1]})").find("expected 3 numbers, found 1"), std::string::npos);
}

}  // namespace
}  // namespace sumi::diffusion

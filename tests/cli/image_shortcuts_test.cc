// What `sumi image` may leave out to be faster: other pictures, and only if asked for.
#include <gtest/gtest.h>

#include <cmath>

#include "cli/command.h"
#include "formats/image.h"

namespace sumi::cli {
namespace {

class Shortcut : public testing::Test {
 protected:
  // The pixels that these arguments give.
  std::vector<uint8_t> pixels(const std::string& arguments) {
    const Outcome outcome = run("image " + model_ + " --prompt 'a cat' --steps 4 --seed 3 -o " + (folder_ / "p.png") +
                                " " + arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return formats::read_image(folder_ / "p.png").pixels;
  }
  static double psnr(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
    double squares = 0;
    for (size_t i = 0; i < a.size(); ++i) squares += std::pow(static_cast<double>(a[i]) - b[i], 2);
    return 10 * std::log10(255 * 255 * static_cast<double>(a.size()) / squares);
  }
  void is_off_at(const std::string& off) {
    for (const char* dtype : {" --dtype f32", " --dtype bf16"})
      EXPECT_EQ(pixels(off + dtype), pixels(dtype)) << off << dtype;
  }
  void is_near_with(const std::string& on) {
    for (const char* dtype : {" --dtype f32", " --dtype bf16"}) {
      const double near = psnr(pixels(on + dtype), pixels(dtype));
      EXPECT_GT(near, 20) << on << dtype;  // 33 and 34 were measured
      EXPECT_LT(near, 60) << on << dtype << ": it does something";
    }
    EXPECT_EQ(pixels(on), pixels(on)) << "deterministic";
  }

  const Folder folder_;
  const std::string data_ = std::string(SUMI_TEST_DATA) + "/pipelines", model_ = data_ + "/sd1";
};

TEST_F(Shortcut, DeepCache) {
  is_off_at("--deep-cache 1");
  is_near_with("--deep-cache 2");
  EXPECT_EQ(pixels("--guidance-scale 1 --deep-cache 4").size(), pixels("").size());
  const Outcome beside = run("image " + model_ + " --prompt a --deep-cache 2 --controlnet " + data_ +
                             "/parts/controlnet --condition " + data_ + "/inputs/condition.png -o " + (folder_ / "x.png"));
  EXPECT_EQ(beside.code, 1);
  EXPECT_NE(beside.err.find("--deep-cache: not with a ControlNet"), std::string::npos) << beside.err;
  EXPECT_EQ(run("image " + model_ + " --prompt a --deep-cache 0 -o " + (folder_ / "x.png")).code, 2);
}

TEST_F(Shortcut, TokenMerging) {
  is_off_at("--token-merging 0");
  is_near_with("--token-merging 0.5");
  EXPECT_EQ(run("image " + model_ + " --prompt a --token-merging 0.8 -o " + (folder_ / "x.png")).code, 2);
}

TEST_F(Shortcut, Int8Layers) {
  const std::string file = folder_ / "layers.json";
  spill(file, R"({"kept": ["down_blocks.0.resnets.0.conv1"]})");
  EXPECT_EQ(pixels("--dtype int8 --int8-layers " + file).size(), pixels("").size());
  const auto message = [&](const std::string& content, const std::string& dtype) {
    spill(file, content);
    const Outcome outcome = run("image " + model_ + " --prompt a --dtype " + dtype + " --int8-layers " + file + " -o " +
                                (folder_ / "x.png"));
    EXPECT_NE(outcome.code, 0);
    return outcome.err;
  };
  EXPECT_NE(message(R"({"kept": ["a.b"]})", "int8").find("UNet has no layer a.b"), std::string::npos);
  EXPECT_NE(message(R"({"layers": []})", "int8").find("kept: expected a list"), std::string::npos);
  EXPECT_NE(message(R"({"kept": []})", "bf16").find("expected --dtype int8"), std::string::npos);
  EXPECT_EQ(run("bench image " + model_ + " --sensitivity").code, 2);
}

TEST_F(Shortcut, Int8LayersOfControlNets) {
  const std::string file = folder_ / "layers.json";
  const std::string net = " --controlnet " + data_ + "/parts/controlnet --condition " + data_ + "/inputs/condition.png";
  const auto with = [&](const std::string& kept) {
    spill(file, R"({"kept": [")" + kept + R"("]})");
    return run("image " + model_ + " --prompt a --steps 1 --dtype int8 --int8-layers " + file + net + " -o " + (folder_ / "x.png"));
  };
  EXPECT_EQ(with("controlnet.0.conv_in").code, 0);
  EXPECT_EQ(with("controlnet.1.conv_in").code, 0) << "of a ControlNet that is not used";
  EXPECT_NE(with("controlnet.0.a.b").err.find("ControlNet has no layer a.b"), std::string::npos);
  EXPECT_EQ(run("bench image " + model_ + net).code, 2) << "--controlnet is of --sensitivity";
}

TEST_F(Shortcut, Int8WeightsAlone) {
  EXPECT_GT(psnr(pixels("--dtype int8-weights"), pixels("--dtype bf16")), 30);
}

}  // namespace
}  // namespace sumi::cli

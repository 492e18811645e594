// `sumi image` against diffusers: tests/data/pipelines, written by tools/reference/pipelines.py.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "cli/command.h"
#include "formats/image.h"
#include "formats/npy.h"
#include "formats/safetensors.h"

namespace sumi::cli {
namespace {

const std::string kPipelines = std::string(SUMI_TEST_DATA) + "/pipelines";

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

const nlohmann::json& cases() {
  static const nlohmann::json cases = nlohmann::json::parse(slurp(kPipelines + "/cases.json"));
  return cases;
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& one : cases()) names.push_back(one["name"]);
  return names;
}

// The arguments of a case, the model first. Files are named from the folder of the cases.
std::string arguments_of(const std::string& name) {
  for (const auto& one : cases()) {
    if (one["name"] != name) continue;
    std::string arguments = kPipelines + "/" + one["model"].get<std::string>();
    for (const std::string argument : one["arguments"])
      arguments += " " + quoted(argument);
    return arguments;
  }
  return "";
}

Outcome image(const std::string& arguments) {
  return run("image " + arguments, "cd " + kPipelines + " &&");
}

// Of two pictures of 8 bits, in dB; no more than 100.
double psnr(const formats::Image& a, const uint8_t* b) {
  double squares = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    const double d = static_cast<double>(a.pixels[i]) - b[i];
    squares += d * d;
  }
  const double mean = squares / static_cast<double>(a.pixels.size());
  return mean == 0 ? 100 : std::min(100.0, 10 * std::log10(255 * 255 / mean));
}

class PictureCase : public testing::TestWithParam<std::string> {};

TEST_P(PictureCase, IsTheOneThatDiffusersDraws) {
  static const formats::SafetensorsFile expected(kPipelines + "/expected.safetensors");
  const Folder folder;
  const Outcome outcome = image(arguments_of(GetParam()) + " --dtype f32 --save-latents " +
                                (folder / "l.npy") + " -o " + (folder / "p.png"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Tensor latents = formats::read_npy(folder / "l.npy"),
               wanted = expected.get(GetParam() + ".latents"),
               picture = expected.get(GetParam() + ".picture");
  ASSERT_EQ(latents.shape(), wanted.shape());
  double difference = 0, largest = 0;
  for (int64_t i = 0; i < wanted.numel(); ++i) {
    const double d = std::fabs(static_cast<double>(latents.f32()[i]) - wanted.f32()[i]);
    if (!(d <= difference)) difference = d;  // a NaN counts
    largest = std::max<double>(largest, std::fabs(wanted.f32()[i]));
  }
  EXPECT_LE(difference / largest, 1e-3);
  const formats::Image found = formats::read_image(folder / "p.png");
  ASSERT_EQ((Shape{found.height, found.width, 3}), picture.shape());
  EXPECT_GE(psnr(found, picture.data<uint8_t>()), 45);
}

INSTANTIATE_TEST_SUITE_P(All, PictureCase, testing::ValuesIn(case_names()), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
});

TEST(Image, Bf16IsNearF32) {
  const Folder folder;
  for (const char* dtype : {"f32", "bf16"})
    ASSERT_EQ(image(arguments_of("sd1_tall") + " --guidance-scale 2 --dtype " + dtype + " -o " +
                    (folder / dtype) + ".png")
                  .code,
              0);
  const formats::Image a = formats::read_image((folder / "f32") + ".png"),
                       b = formats::read_image((folder / "bf16") + ".png");
  EXPECT_GE(psnr(a, b.pixels.data()), 30);
  EXPECT_NE(a.pixels, b.pixels);
}

TEST(Image, SeedsCountUpAndAPictureCanBeRepeated) {
  const Folder folder;
  const std::string base = kPipelines + "/sd1 --prompt 'a \"cat\"' --steps 2 --width 16 --height 24 ";
  const Outcome two = image(base + "--seed 7 --count 2 --json -o " + (folder / "p.png"));
  ASSERT_EQ(two.code, 0) << two.err;
  EXPECT_EQ(two.json()["pictures"][1]["seed"], 8);
  ASSERT_EQ(image(base + "--seed 8 --low-memory --preview " + (folder / "previews") + " -o " + (folder / "q.png")).code, 0);
  const formats::Image second = formats::read_image(folder / "p-2.png");
  EXPECT_EQ(second.pixels, formats::read_image(folder / "q.png").pixels)
      << "a picture does not depend on the others, nor on --low-memory";
  EXPECT_EQ(formats::read_image(folder / "previews/1-001.png").height, 3);
  ASSERT_EQ(image("--from-png " + (folder / "p-2.png") + " -o " + (folder / "r.png")).code, 0);
  EXPECT_EQ(second.pixels, formats::read_image(folder / "r.png").pixels);
  ASSERT_EQ(image("--from-png " + (folder / "p-2.png") + " --seed 7 -o " + (folder / "s.png")).code,
            0);
  EXPECT_EQ(formats::read_image(folder / "p-1.png").pixels,
            formats::read_image(folder / "s.png").pixels);
  const formats::ImageText text = formats::read_png_text(folder / "p-2.png");
  EXPECT_EQ(text.at(0).first, "parameters");
  EXPECT_NE(text.at(0).second.find("a \"cat\"\nSteps: 2, Sampler: default, CFG scale: 7.5, Seed: 8, "
                                   "Size: 16x24, Model: sd1"),
            std::string::npos)
      << text.at(0).second;
}

TEST(Image, BadInputIsNamed) {
  const Folder folder;
  spill(folder / "text.png", "no picture");
  formats::write_image(folder / "small.png", formats::Image(8, 8, 3));
  const std::string out = " -o " + (folder / "x.png"), sd1 = kPipelines + "/sd1 --prompt a";
  const std::pair<std::string, const char*> wrong[] = {
      {"--prompt a" + out, "no MODEL is given"},
      {sd1 + " --width 20" + out, "--width is 20: expected a multiple of 8"},
      {sd1 + " --height 99999" + out, "--height is 99999"},
      {sd1 + " -o " + (folder / "x.gif"), "expected a name that ends in"},
      {sd1 + " --image inputs/picture.png --mask " + (folder / "small.png") + out,
       "the mask is 8 x 8, the picture 48 x 64"},
      {sd1 + " --mask inputs/mask.png" + out, "expected --image"},
      {sd1 + " --image " + (folder / "text.png") + out, "text.png"},
      {sd1 + " --image inputs/picture.png --strength 0.01" + out, "leaves no step"},
      {sd1 + " --init-latents inputs/latents.npy --width 32" + out, "expected f32 [1, 4, 8, 4]"},
      {sd1 + " --controlnet parts/unet --condition inputs/condition.png" + out, "part controlnet: expected ControlNetModel, found UNet2DConditionModel"},
      {sd1 + " --lora inputs/embedding.safetensors" + out, "not a name of a LoRA"},
      {sd1 + " --embedding inputs/lora_peft.safetensors" + out, "has one tensor"},
      {sd1 + " --clip-skip 2" + out, "clip skip 2"},
      {"parts/vae --prompt a" + out, "model_index.json"},
      {"inpaint --prompt a" + out, "this model inpaints"},
      {"--from-png inputs/picture.png" + out, "no text chunk"}};
  for (const auto& [arguments, message] : wrong) {
    const Outcome outcome = image(arguments);
    EXPECT_EQ(outcome.code, 1) << arguments << outcome.out;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << arguments << "\n" << outcome.err;
  }
  for (const std::string& arguments :
       {sd1, sd1 + " --condition inputs/condition.png" + out, sd1 + " --scheduler best" + out})
    EXPECT_EQ(image(arguments).code, 2) << arguments;
}

}  // namespace
}  // namespace sumi::cli

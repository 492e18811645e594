// `sumi image` against diffusers: tests/data/pipelines and pipelines_more, written by
// tools/reference/pipelines.py and pipelines_more.py.
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

const char* kSets[] = {"pipelines", "pipelines_more"};

std::string folder_of(const std::string& set) { return std::string(SUMI_TEST_DATA) + "/" + set; }

const nlohmann::json& cases(const std::string& set) {
  static std::map<std::string, nlohmann::json> read;
  nlohmann::json& found = read[set];
  if (found.is_null()) found = nlohmann::json::parse(slurp(folder_of(set) + "/cases.json"));
  return found;
}

struct Case {
  std::string set, name;
};

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const char* set : kSets)
    for (const auto& one : cases(set)) all.push_back({set, one["name"]});
  return all;
}

// The arguments of a case, the model first. Files are named from the folder of the cases.
std::string arguments_of(const std::string& name, const std::string& set = "pipelines") {
  for (const auto& one : cases(set)) {
    if (one["name"] != name) continue;
    std::string arguments = folder_of(set) + "/" + one["model"].get<std::string>();
    for (const std::string argument : one["arguments"])
      arguments += " " + quoted(argument);
    return arguments;
  }
  return "";
}

Outcome image(const std::string& arguments, const std::string& set = "pipelines") {
  return run("image " + arguments, "cd " + folder_of(set) + " &&");
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

class PictureCase : public testing::TestWithParam<Case> {};

TEST_P(PictureCase, IsTheOneThatDiffusersDraws) {
  const auto& [set, name] = GetParam();
  const formats::SafetensorsFile expected(folder_of(set) + "/expected.safetensors");
  const Folder folder;
  const Outcome outcome = image(arguments_of(name, set) + " --dtype f32 --save-latents " +
                                (folder / "l.npy") + " -o " + (folder / "p.png"),
                                set);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Tensor latents = formats::read_npy(folder / "l.npy"),
               wanted = expected.get(name + ".latents"),
               picture = expected.get(name + ".picture");
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

TEST_P(PictureCase, Bf16IsNear) {
  const auto& [set, name] = GetParam();
  const formats::SafetensorsFile expected(folder_of(set) + "/expected.safetensors");
  const Folder folder;
  const Outcome outcome =
      image(arguments_of(name, set) + " --dtype bf16 -o " + (folder / "p.png"), set);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  // The bar is 30 dB; 48 and more were measured.
  EXPECT_GE(psnr(formats::read_image(folder / "p.png"),
                 expected.get(name + ".picture").data<uint8_t>()),
            40);
}

INSTANTIATE_TEST_SUITE_P(All, PictureCase, testing::ValuesIn(all_cases()), [](const auto& info) {
  std::string name = info.param.name;
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
});

TEST(Image, Int8IsNearF32) {
  const Folder folder;
  for (const char* dtype : {"f32", "int8"})
    ASSERT_EQ(image(arguments_of("sd1_tall") + " --dtype " + dtype + " -o " + (folder / dtype) + ".png").code, 0);
  const formats::Image exact = formats::read_image((folder / "f32") + ".png"),
                       near = formats::read_image((folder / "int8") + ".png");
  EXPECT_GE(psnr(exact, near.pixels.data()), 30);
  EXPECT_NE(exact.pixels, near.pixels) << "it did round";
}

TEST(Image, Bench) {
  const nlohmann::json json =
      run("bench image " + kPipelines + "/sd1 --size 64 --steps 1 --dtype bf16 --json").json();
  ASSERT_EQ(json["stages"].size(), 3u);
  for (const nlohmann::json& stage : json["stages"]) {
    EXPECT_GT(stage["seconds"], 0) << stage;
    EXPECT_GT(stage["operations"], 1e5) << stage;
    EXPECT_GT(stage["share_of_peak"], 0) << stage;
  }
  EXPECT_GT(json["peak_memory_bytes"], 1 << 20);
  EXPECT_NE(run("bench image " + kPipelines + "/sd1 --size 63").code, 0);
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

TEST(Image, PreprocessMakesTheCondition) {
  const Folder folder;
  ASSERT_EQ(run("condition canny " + kPipelines + "/inputs/picture.png -o " + (folder / "c.png"))
                .code,
            0);
  const std::string base =
      kPipelines + "/sd1 --prompt a --seed 1 --steps 2 --controlnet " + kPipelines +
      "/parts/controlnet --condition ";
  const auto pixels = [&](const std::string& arguments) {
    const Outcome outcome = image(arguments + " -o " + (folder / "p.png"));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? formats::read_image(folder / "p.png").pixels
                             : std::vector<uint8_t>();
  };
  const auto expected = pixels(base + (folder / "c.png"));
  EXPECT_EQ(pixels(base + "inputs/picture.png --preprocess canny"), expected);
  EXPECT_EQ(pixels("--from-png " + (folder / "p.png")), expected);
  EXPECT_NE(pixels("--from-png " + (folder / "p.png") + " --preprocess none"), expected);
  EXPECT_EQ(image(base + "inputs/picture.png --preprocess depth -o x.png").code, 2);
  EXPECT_EQ(image(base + "inputs/picture.png --preprocess canny --preprocess blur -o x.png").code, 2);
}

TEST(Image, EmbeddingsOfTheWebInterface) {
  const Folder folder;
  const std::string base = kPipelines + "/sd1 --prompt 'a <wug> cat' --seed 1 --steps 2 --embedding ";
  const auto pixels = [&](const std::string& file) {
    const Outcome outcome = image(base + file + " -o " + (folder / "p.png"));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return formats::read_image(folder / "p.png").pixels;
  };
  EXPECT_EQ(pixels("../pipelines_more/embedding.pt:'<wug>'"),
            pixels("inputs/embedding.safetensors"));
  EXPECT_NE(image(base + "../pipelines_more/embedding.pt -o x.png").err.find("give FILE:WORD"),
            std::string::npos);
}

TEST(Image, ALoraOfAPartThatIsNotThereIsNamed) {
  const Folder folder;
  formats::write_safetensors(
      folder / "l.safetensors",
      {{"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", Tensor::zeros({2, 16})},
       {"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", Tensor::zeros({32, 2})}});
  const std::string lora = " --prompt a --steps 1 --lora " + (folder / "l.safetensors") + " -o " +
                           (folder / "p.png");
  EXPECT_NE(image("sd1" + lora).err.find("the model has no part text_encoder_2"),
            std::string::npos);
  const Outcome xl = image("xl" + lora, "pipelines_more");
  EXPECT_EQ(xl.code, 0) << xl.err;
}

TEST(Image, TheSafetyCheckerHoldsAPictureBack) {
  const Folder folder;
  const std::string held = arguments_of("checked_held", "pipelines_more");
  const Outcome checked = image(held + " --json -o " + (folder / "a.png"));
  ASSERT_EQ(checked.code, 0) << checked.err;
  EXPECT_EQ(checked.json()["pictures"][0]["flagged"], true);
  EXPECT_NE(checked.err.find("the safety checker of"), std::string::npos) << checked.err;
  const Outcome free = image(held + " --no-safety-checker --json -o " + (folder / "b.png"));
  ASSERT_EQ(free.code, 0) << free.err;
  EXPECT_EQ(free.json()["pictures"][0]["flagged"], false);
  EXPECT_NE(formats::read_image(folder / "a.png").pixels,
            formats::read_image(folder / "b.png").pixels);
  const Outcome safe = image(arguments_of("checked_safe", "pipelines_more") + " --json -o " +
                             (folder / "c.png"));
  EXPECT_EQ(safe.json()["pictures"][0]["flagged"], false);
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
      {sd1 + " --condition inputs/condition.png" + out, "1 pictures for 0 ControlNets"},
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
       {sd1, sd1 + " --controlnet parts/controlnet" + out, sd1 + " --scheduler best" + out})
    EXPECT_EQ(image(arguments).code, 2) << arguments;
}

}  // namespace
}  // namespace sumi::cli

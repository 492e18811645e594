// sumi train image, controlnet, image-lora and dreambooth as a user runs them, at tiny size; and
// the walk-throughs of docs/.
#include <gtest/gtest.h>

#include <regex>

#include "cli/command.h"
#include "cli/stopped_run.h"
#include "formats/image.h"

namespace sumi::cli {
namespace {

namespace fs = std::filesystem;

const std::string kData = std::string(SUMI_TEST_DATA) + "/train/pictures";
const std::string kSd1 = std::string(SUMI_TEST_DATA) + "/pipelines/sd1";

class TrainPicture : public testing::Test {
 protected:
  std::string at(const std::string& name) const { return folder_ / name; }
  std::string command(const std::string& verb, const std::string& output,
                      const std::string& more) const {
    return "train " + verb + " " + kSd1 + " --resolution 32 -o " + at(output) + " " + more;
  }
  // The pixels that `sumi image` draws with these arguments.
  std::vector<uint8_t> drawn(const std::string& arguments) const {
    const Outcome outcome = run("image " + arguments + " --prompt \"a red circle\" --seed 3 --steps 2"
                                " --width 32 --height 32 -o " + at("drawn.png"));
    EXPECT_EQ(outcome.code, 0) << arguments << "\n" << outcome.err;
    return formats::read_image(at("drawn.png")).pixels;
  }
  void expect_refused(const std::string& arguments, int code, const std::string& part) const {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, code) << arguments << "\n" << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << arguments << "\n" << outcome.err;
  }

  Folder folder_;
};

TEST_F(TrainPicture, AControlNetThatSumiOpens) {
  const Outcome outcome = run(command(
      "controlnet", "run",
      "--data " + kData + " --condition-widths 4,4,8,8 --steps 4 --learning-rate 1e-2 --samples 2 "
      "--sample-steps 2 --conditioning-channel-order bgr --eval-data " + kData));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("ControlNet written"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.err.find("step 4/4"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("held-out loss"), std::string::npos);
  EXPECT_NE(slurp(at("run/config.json")).find("\"bgr\""), std::string::npos);
  const formats::Image grid = formats::read_image(at("run/samples/step-000004.png"));
  EXPECT_EQ(grid.width, 96);  // condition, picture, target
  EXPECT_EQ(grid.height, 64);
  const std::string condition = " --condition " + kData + "/outlines/red.png";
  EXPECT_NE(drawn(kSd1 + " --controlnet " + at("run") + condition), drawn(kSd1));
  // It goes on from there, with a condition made of the pictures.
  EXPECT_EQ(run(command("controlnet", "more", "--data " + kData + " --controlnet " + at("run") +
                                                  " --make-condition canny --steps 1"))
                .code,
            0);
}

TEST_F(TrainPicture, AModelFromNothingThatSumiOpens) {
  const Outcome outcome = run(command(
      "image", "run", "--data " + kData + " --unet-config " + kSd1 +
      "/unet/config.json --steps 60 --batch-size 3 --learning-rate 5e-3 --log-every 30 --ema 0.9 "
      "--proportion-empty-prompts 0.2 --save-dtype bf16"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string log = slurp(at("run/log.jsonl"));
  std::vector<double> losses;
  for (size_t i = 0; (i = log.find("\"loss\":", i)) != std::string::npos; ++i)
    losses.push_back(std::stod(log.substr(i + 7)));
  ASSERT_GE(losses.size(), 3u) << log;
  EXPECT_LT(losses.back(), 0.8 * losses.front());
  EXPECT_FALSE(drawn(at("run")).empty());
  EXPECT_TRUE(fs::exists(at("run/tokenizer/vocab.json")));
}

// Without an autoencoder diffusion works on pixels; the folder needs no UNet of its own.
TEST_F(TrainPicture, AModelOfPixels) {
  fs::create_directories(at("parts"));
  for (const char* part : {"tokenizer", "text_encoder", "scheduler"})
    fs::copy(kSd1 + "/" + part, at("parts") + "/" + part, fs::copy_options::recursive);
  nlohmann::json index = nlohmann::json::parse(slurp(kSd1 + "/model_index.json"));
  index["vae"] = {nullptr, nullptr};
  index.erase("unet");
  spill(at("parts/model_index.json"), index.dump());
  nlohmann::json unet = nlohmann::json::parse(slurp(kSd1 + "/unet/config.json"));
  unet["in_channels"] = unet["out_channels"] = 3;
  unet["sample_size"] = 16;
  spill(at("unet.json"), unet.dump());
  const std::string begin = "train image " + at("parts") + " --data " + kData;
  const Outcome outcome = run(begin + " --unet-config " + at("unet.json") + " --steps 3 -o " + at("run"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Outcome image = run("image " + at("run") + " --prompt x --steps 2 -o " + at("x.png"));
  ASSERT_EQ(image.code, 0) << image.err;
  EXPECT_EQ(formats::read_image(at("x.png")).width, 16);
  const Outcome control = run("train controlnet " + at("run") + " --data " + kData +
                              " --steps 2 --samples 1 --sample-steps 2 -o " + at("control"));
  ASSERT_EQ(control.code, 0) << control.err;
  EXPECT_NE(slurp(at("control/config.json")).find("\"conditioning_embedding_out_channels\": [\n    16\n"),
            std::string::npos);
  expect_refused(begin + " -o " + at("none"), 1, "unet is missing");
}

TEST_F(TrainPicture, AdaptersThatSumiOpens) {
  const Outcome outcome =
      run(command("image-lora", "run", "--data " + kData + " --rank 2 --alpha 4 --steps 3 "
                  "--train-text-encoder --learning-rate 1e-2 --random-flip --lora-dropout 0.1"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(drawn(kSd1 + " --lora " + at("run/pytorch_lora_weights.safetensors")), drawn(kSd1));
}

TEST_F(TrainPicture, DreamBoothDrawsItsClassAndKeepsIt) {
  const std::string begin = "--instance-data " + kData + " --instance-prompt \"a sks circle\" "
                            "--class-prompt \"a circle\" --class-count 2 --sample-steps 2 ";
  const Outcome outcome =
      run(command("dreambooth", "run", begin + "--steps 3 --learning-rate 1e-2"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("drew class picture 2 of 2"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("3 pictures, 2 of the class"), std::string::npos) << outcome.err;
  EXPECT_NE(drawn(kSd1 + " --lora " + at("run/pytorch_lora_weights.safetensors")), drawn(kSd1));
  const Outcome full = run(command("dreambooth", "full",
                                   begin + "--class-data " + at("run/class") +
                                       " --method full --train-text-encoder --steps 1"));
  ASSERT_EQ(full.code, 0) << full.err;
  EXPECT_EQ(full.err.find("drew"), std::string::npos) << "they were there";
  EXPECT_NE(drawn(at("full")), drawn(kSd1));
}

TEST_F(TrainPicture, DryRunWritesNothing) {
  for (const char* verb : {"controlnet", "image", "image-lora"}) {
    const Outcome outcome = run(command(verb, "run", "--dry-run --data " + kData));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    for (const char* part : {"model ", "optimiser ", "largest ", "pictures/s"})
      EXPECT_NE(outcome.out.find(part), std::string::npos) << part;
  }
  EXPECT_FALSE(fs::exists(at("run")));
}

TEST_F(TrainPicture, BadOptionsAreRefusedBeforeAnythingIsLoaded) {
  const std::string data = "--data " + kData + " ";
  expect_refused(command("controlnet", "x", "--data nowhere"), 1, "nowhere");
  expect_refused(command("controlnet", "x", data + "--prompt-column caption"), 1,
                 "line 1: expected a column caption");
  expect_refused(command("controlnet", "x", data + "--conditioning-image-column pose"), 1, "pose");
  expect_refused(command("controlnet", "x", data + "--make-condition canny "
                         "--conditioning-image-column pose"), 2, "--make-condition");
  expect_refused(command("controlnet", "x", data + "--controlnet y --conditioning-channel-order bgr"),
                 2, "--conditioning-channel-order");
  expect_refused(command("controlnet", "x", data + "--condition-widths 4,8"), 1, "expected 4 widths");
  expect_refused("train image " + kSd1 + " --resolution 30 " + data + "-o " + at("x"), 1,
                 "multiple of 8");
  expect_refused(command("image", "x", data + "--momentum 0.5"), 2, "--momentum");
  expect_refused("train image " + kSd1 + " " + data + "-o " + kSd1, 1, "the model itself");
  expect_refused("train image nowhere " + data + "-o " + at("x"), 1, "model_index.json");
  expect_refused(command("image-lora", "y", data + "--target-modules w_q"), 1, "to_q");
  const std::string dog = "--instance-data " + kData + " --instance-prompt p ";
  expect_refused(command("dreambooth", "x", dog + "--class-count 3"), 2, "--class-count");
  expect_refused(command("dreambooth", "x", dog + "--method full --rank 3"), 2, "--rank");
  expect_refused("train image " + std::string(SUMI_TEST_DATA) + "/pipelines/inpaint " + data +
                     "--resolution 32 -o " + at("x"), 1, "in_channels 9");
  EXPECT_FALSE(fs::exists(at("x")));
}

TEST_F(TrainPicture, KilledAtRandomMomentsItGoesOnToTheSameBits) {
  const std::string options = "--data " + kData + " --condition-widths 4,4,4,4 --steps 60 --keep 2 "
                              "--save-every 2 --random-flip --proportion-empty-prompts 0.5 "
                              "--threads 1 --log-every 20";
  const int killed = kill_and_resume(command("controlnet", "whole", options),
                                     command("controlnet", "cut", options + " --resume"), 8);
  EXPECT_GT(killed, 2);
  const char* weights = "/diffusion_pytorch_model.safetensors";
  EXPECT_EQ(slurp(at("cut") + weights), slurp(at("whole") + weights));
  expect_refused(command("controlnet", "cut", options + " --resume --snr-gamma 5"), 1,
                 "snr_gamma was 0.0, now it is 5.0");
  expect_refused(command("controlnet", "cut", options), 1, "--resume");
}

// Runs the ```sh blocks of a walk-through but the first, which sets what the test sets otherwise.
void run_document(const std::string& name, const std::string& folder, const std::string& settings) {
  const std::string text = slurp(std::string(SUMI_TEST_DATA) + "/../../docs/" + name);
  const std::regex block("```sh\n([^`]*)```");
  std::string script = "set -e\ncd '" + folder + "'\nsumi() { '" + SUMI_BINARY + "' \"$@\"; }\n" + settings + "\n";
  size_t count = 0;
  for (std::sregex_iterator it(text.begin(), text.end(), block), end; it != end; ++it)
    if (count++ > 0) script += (*it)[1].str();
  ASSERT_GT(count, 3u);
  spill(folder + "/script.sh", script);
  const int status = std::system(("bash '" + folder + "/script.sh' >'" + folder + "/out' 2>&1").c_str());
  EXPECT_EQ(status, 0) << slurp(folder + "/out");
}

const std::string kTiny = "MODEL='" + kSd1 + "' SIZE=32 STEPS=2 EVERY=1 SAMPLES=1 COUNT=2";

TEST_F(TrainPicture, TheWalkThroughOfControlNets) {
  fs::create_directories(at("photos"));
  for (const char* name : {"red.png", "blue.png"}) fs::copy(kData + "/" + name, at("photos/") + name);
  run_document("train-controlnet.md", folder_.path(), kTiny);
  EXPECT_TRUE(fs::exists(at("picture.png")));
  EXPECT_TRUE(fs::exists(at("loss.png")));
}

TEST_F(TrainPicture, TheWalkThroughOfLoraAndDreambooth) {
  fs::copy(kData, at("pictures"), fs::copy_options::recursive);
  fs::copy(kData, at("dog"));
  run_document("train-lora-dreambooth.md", folder_.path(), kTiny);
  for (const char* name : {"style.png", "dog.png", "dog2.png", "own_model/unet/config.json"})
    EXPECT_TRUE(fs::exists(at(name))) << name;
}

}  // namespace
}  // namespace sumi::cli

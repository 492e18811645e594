// Picture models as their files come: variants, shards and PyTorch weights; what `sumi inspect` says.
#include <gtest/gtest.h>

#include "cli/command.h"
#include "formats/image.h"
#include "formats/safetensors.h"
#include "formats/weights_folder.h"

namespace sumi::cli {
namespace {

namespace fs = std::filesystem;

const std::string kPipelines = std::string(SUMI_TEST_DATA) + "/pipelines";

// A copy of a pipeline, in which files may be changed.
class PictureFolder : public Folder {
 public:
  explicit PictureFolder(const std::string& name) {
    for (const auto& entry : fs::directory_iterator(kPipelines + "/" + name))
      fs::copy(fs::canonical(entry.path()), path() + "/" + entry.path().filename().string(),
               fs::copy_options::recursive);
  }
  void rename(const std::string& from, const std::string& to) const {
    fs::rename(*this / from, *this / to);
  }
  void edit(const std::string& file, const std::string& key, const nlohmann::json& value) const {
    nlohmann::json object = nlohmann::json::parse(slurp(*this / file));
    object[key] = value;
    spill(*this / file, object.dump());
  }
};

std::vector<uint8_t> picture_of(const std::string& model, const std::string& more = "") {
  const Folder folder;
  const Outcome outcome = run("image " + model + " --prompt 'a cat' --seed 1 --steps 2 --width 32 " +
                              "--height 24 -o " + (folder / "p.png") + " " + more);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.code == 0 ? formats::read_image(folder / "p.png").pixels : std::vector<uint8_t>();
}

constexpr const char* kUnet = "unet/diffusion_pytorch_model.safetensors";

TEST(PictureFiles, VariantsAndShardsGiveTheSamePicture) {
  const PictureFolder model("sd1");
  const auto expected = picture_of(kPipelines + "/sd1");
  model.rename(kUnet, "unet/diffusion_pytorch_model.fp16.safetensors");
  model.rename("text_encoder/model.safetensors", "text_encoder/model.fp16.safetensors");
  EXPECT_EQ(picture_of(model.path()), expected) << "the only variant";
  // Another under the plain name: the variant counts only where it is asked for.
  const auto source = formats::open_weights_folder(model / "unet");
  std::vector<std::pair<std::string, Tensor>> zeros, first, second;
  for (const formats::TensorInfo& info : source->tensors()) {
    zeros.emplace_back(info.name, Tensor::zeros(info.shape));
    (first.size() < 20 ? first : second).emplace_back(info.name, source->get(info.name));
  }
  formats::write_safetensors(model / kUnet, zeros);
  EXPECT_NE(picture_of(model.path()), expected);
  EXPECT_EQ(picture_of(model.path(), "--variant fp16"), expected);
  const Outcome wrong = run("image " + model.path() + " --prompt a --variant fp8 -o x.png");
  EXPECT_NE(wrong.err.find("no part has the variant fp8; there are fp16"), std::string::npos)
      << wrong.err;
  fs::remove(model / kUnet);
  nlohmann::json map;
  for (const auto& [name, tensor] : first) map[name] = "unet-1.safetensors";
  for (const auto& [name, tensor] : second) map[name] = "unet-2.safetensors";
  formats::write_safetensors(model / "unet/unet-1.safetensors", first);
  formats::write_safetensors(model / "unet/unet-2.safetensors", second);
  spill(model / "unet/diffusion_pytorch_model.safetensors.index.json",
        nlohmann::json{{"weight_map", map}}.dump());
  EXPECT_EQ(picture_of(model.path()), expected);
}

const std::string kSingle = std::string(SUMI_TEST_DATA) + "/single_file";

TEST(PictureFiles, SingleFilesGiveThePicturesOfTheirFolders) {
  for (const auto& [file, folder] :
       {std::pair{"sd1.safetensors", "sd1"}, {"sd2.ckpt", "sd2"}}) {
    const std::string model = kPipelines + "/" + folder;
    EXPECT_EQ(picture_of(kSingle + "/" + file, "--config " + model), picture_of(model)) << file;
  }
  const std::string xl = std::string(SUMI_TEST_DATA) + "/pipelines_more/xl";
  EXPECT_EQ(picture_of(kSingle + "/xl.safetensors", "--config " + xl), picture_of(xl));
  const std::string velocity = " --prediction-type v_prediction --scheduler ddim";
  EXPECT_EQ(picture_of(kSingle + "/sd2.ckpt", "--config " + kPipelines + "/sd2" + velocity),
            picture_of(kPipelines + "/sd2_v", "--scheduler ddim"));
  const std::string condition = " --condition " + kPipelines + "/inputs/condition.png";
  EXPECT_EQ(picture_of(kSingle + "/sd1.safetensors --config " + kPipelines + "/sd1",
                       "--controlnet " + kSingle + "/controlnet.pth" + condition),
            picture_of(kPipelines + "/sd1",
                       "--controlnet " + kPipelines + "/parts/controlnet" + condition));
}

TEST(PictureFiles, APipelinesOwnControlNetIsUsed) {
  const PictureFolder model("sd1");
  fs::copy(kPipelines + "/parts/controlnet", model / "controlnet");
  model.edit("model_index.json", "controlnet", {"diffusers", "ControlNetModel"});
  const std::string condition = " --condition " + kPipelines + "/inputs/condition.png";
  EXPECT_EQ(picture_of(model.path(), condition),
            picture_of(kPipelines + "/sd1",
                       "--controlnet " + kPipelines + "/parts/controlnet" + condition));
  EXPECT_NE(run("image " + model.path() + " --prompt a -o x.png").err.find("0 pictures for 1"),
            std::string::npos);
  model.edit("model_index.json", "../unet", {"diffusers", "UNet2DConditionModel"});
  EXPECT_NE(run("inspect " + model.path()).err.find("\"../unet\": a part's name is a folder's"),
            std::string::npos);
}

TEST(PictureFiles, SingleFilesWithoutWhatTheyNeed) {
  const auto error = [](const std::string& arguments) {
    const Outcome outcome = run("image " + arguments + " --prompt a -o x.png");
    EXPECT_EQ(outcome.code, 1) << arguments;
    return outcome.err;
  };
  const std::string sd1 = kSingle + "/sd1.safetensors";
  EXPECT_NE(error(sd1).find("give --tokenizer a folder with CLIP's vocabulary"), std::string::npos);
  // The tiny networks are not shaped as the published ones.
  EXPECT_NE(error(sd1 + " --tokenizer " + kPipelines + "/sd1").find("groups"), std::string::npos)
      << error(sd1 + " --tokenizer " + kPipelines + "/sd1");
  EXPECT_NE(error(kPipelines + "/sd1 --config " + kPipelines + "/sd1").find("--config is for"),
            std::string::npos);
  const Folder folder;
  formats::write_safetensors(
      folder / "unet.safetensors",
      {{"model.diffusion_model.input_blocks.0.0.weight", Tensor::zeros({8, 4, 3, 3})}});
  EXPECT_NE(error((folder / "unet.safetensors") + " --config " + kPipelines + "/sd1")
                .find("part tokenizer is missing"),
            std::string::npos);
  EXPECT_NE(error(kPipelines + "/sd1 --controlnet " + kPipelines + "/inputs/embedding.safetensors" +
                  " --condition " + kPipelines + "/inputs/condition.png")
                .find("no ControlNet in the original naming"),
            std::string::npos);
}

TEST(PictureFiles, InspectShowsPartsAndScheduler) {
  const nlohmann::json json = run("inspect " + kPipelines + "/sd2_v --json").json();
  EXPECT_EQ(json["format"], "diffusers folder");
  EXPECT_EQ(json["architecture"], "StableDiffusionPipeline");
  EXPECT_EQ(json["supported"], true);
  EXPECT_EQ(json["width"], 64);
  EXPECT_EQ(json["pixels_per_latent"], 8);
  EXPECT_EQ(json["scheduler"]["class"], "DDIMScheduler");
  EXPECT_EQ(json["scheduler"]["prediction_type"], "v_prediction");
  int64_t parameters = 0;
  for (const auto& part : json["parts"]) {
    EXPECT_EQ(part["supported"], true) << part;
    parameters += part.value("parameters", int64_t{0});
    if (part["name"] == "unet") {
      EXPECT_EQ(part["class"], "UNet2DConditionModel");
      EXPECT_EQ(part["dtypes"]["bf16"]["parameters"], part["parameters"]);
      EXPECT_EQ(part["weight_bytes_as"]["f32"], 4 * part["parameters"].get<int64_t>());
    }
  }
  EXPECT_EQ(json["parts"].size(), 5u);
  EXPECT_EQ(json["parameters"], parameters);
  const Outcome text = run("inspect " + kPipelines + "/sd2_v --tensors");
  for (const char* shown : {"DDIMScheduler, predicts v_prediction, 1000 steps", "64 x 64",
                            "UNet2DConditionModel", "time_embedding.linear_1.weight"})
    EXPECT_NE(text.out.find(shown), std::string::npos) << shown << "\n" << text.out;
  const nlohmann::json net = run("inspect " + kPipelines + "/parts/controlnet --json").json();
  EXPECT_EQ(net["architecture"], "ControlNetModel");
  EXPECT_EQ(net["supported"], true);
  EXPECT_EQ(net["parts"][0]["name"], "controlnet");
}

TEST(PictureFiles, InspectOfSingleFiles) {
  const nlohmann::json json = run("inspect " + kSingle + "/sd2.ckpt --json").json();
  EXPECT_EQ(json["format"], "single file in the original naming");
  EXPECT_EQ(json["scheduler"]["prediction_type"], "v_prediction");
  EXPECT_EQ(json["parts"][0]["class"], "DDIMScheduler");
  const nlohmann::json folder = run("inspect " + kPipelines + "/sd2 --json").json();
  EXPECT_EQ(json["parameters"], folder["parameters"]);
  EXPECT_EQ(run("inspect " + kSingle + "/controlnet.pth --json").json()["architecture"],
            "ControlNetModel");
}

TEST(PictureFiles, InspectNamesWhatCannotBeRun) {
  const auto reason = [](const PictureFolder& model) {
    const Outcome outcome = run("inspect " + model.path() + " --json");
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const nlohmann::json json = outcome.json();
    return json.value("supported", true) ? std::string("supported")
                                         : json["reason"].get<std::string>();
  };
  const PictureFolder model("sd1");
  model.edit("unet/config.json", "class_embed_type", "identity");
  EXPECT_NE(reason(model).find("unet/config.json: class_embed_type"), std::string::npos);
  model.edit("unet/config.json", "class_embed_type", nullptr);
  EXPECT_EQ(reason(model), "supported");
  model.edit("model_index.json", "prior", {"diffusers", "PriorTransformer"});
  EXPECT_NE(reason(model).find("part prior (PriorTransformer) is not known"), std::string::npos);
  model.edit("model_index.json", "prior", {nullptr, nullptr});
  model.edit("model_index.json", "vae", {"diffusers", "VQModel"});
  EXPECT_NE(reason(model).find("part vae: expected AutoencoderKL or AutoencoderTiny, found VQModel"),
            std::string::npos);
  model.edit("model_index.json", "vae", nullptr);
  EXPECT_NE(reason(model).find("part vae is missing"), std::string::npos);
  const PictureFolder empty("sd1");
  fs::remove(empty / kUnet);
  EXPECT_NE(reason(empty).find("unet: no weights"), std::string::npos) << reason(empty);
}

}  // namespace
}  // namespace sumi::cli

#include "diffusion/single_file/single_file.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "diffusion/scheduler.h"
#include "diffusion/single_file/configs.h"
#include "diffusion/single_file/names.h"
#include "formats/open_tensors.h"
#include "models/diffusion/unet_config.h"
#include "models/language/open.h"

namespace sumi::diffusion {

namespace {

using models::Config;
namespace fs = std::filesystem;

constexpr const char* kUnet = "model.diffusion_model.";

// Of the text encoders, in files of 1.x and 2.x, and in those of XL.
constexpr const char* kClip[] = {"cond_stage_model.transformer.",
                                 "conditioner.embedders.0.transformer."};
constexpr const char* kOpenClip[] = {"cond_stage_model.model.", "conditioner.embedders.1.model."};

std::shared_ptr<const formats::TensorSource> open_shared(const std::string& path) {
  return formats::open_tensors(path);
}

bool has_tensor_extension(const std::string& path) {
  const std::string end = fs::path(path).extension().string();
  return (end == ".safetensors" || end == ".ckpt" || end == ".pt" || end == ".pth" ||
          end == ".bin") &&
         formats::file_exists(path);
}

// ControlNets come with the prefix of the whole model, or without.
std::string controlnet_prefix(const formats::TensorSource& file) {
  for (const char* prefix : {"control_model.", ""})
    if (file.has(std::string(prefix) + "input_hint_block.0.weight")) return prefix;
  fail("{}: no ControlNet in the original naming: tensor input_hint_block.0.weight is missing",
       file.describe());
}

class SingleFile : public PictureFiles {
 public:
  SingleFile(const std::string& path, const PictureFilesOptions& options)
      : path_(path), options_(options), file_(open_shared(path)),
        xl_(!Section(*file_, "conditioner.embedders.").empty()), unet_(*file_, kUnet),
        vae_(*file_, "first_stage_model."), clip_(*file_, kClip[xl_]),
        open_clip_(*file_, kOpenClip[xl_]) {
    if (xl_ && (clip_.empty() || open_clip_.empty()))
      fail("{}: Stable Diffusion XL with other text encoders than CLIP and OpenCLIP, such as the "
           "refiner, is not known", path);
    if (file_->has("edm_mean"))
      fail("{}: tensor edm_mean: models with shifted latents are not known", path);
    prediction_type_ = options.prediction_type;
    if (prediction_type_.empty())
      prediction_type_ = is_2() && !inpaints() ? "v_prediction" : "epsilon";
    if (xl_) pipeline_ = "StableDiffusionXLPipeline";
    parts_ = {{"scheduler", SingleFile::scheduler("scheduler").get_string("_class_name", "")}};
    if (!clip_.empty() || !open_clip_.empty()) {
      parts_.push_back({"text_encoder", "CLIPTextModel"});
      parts_.push_back({"tokenizer", "CLIPTokenizer"});
    }
    if (xl_) {
      parts_.push_back({"text_encoder_2", "CLIPTextModelWithProjection"});
      parts_.push_back({"tokenizer_2", "CLIPTokenizer"});
    }
    parts_.push_back({"unet", "UNet2DConditionModel"});
    if (!vae_.empty()) parts_.push_back({"vae", "AutoencoderKL"});
  }

  const std::string& path() const override { return path_; }
  std::string format() const override { return "single file in the original naming"; }
  const std::string& pipeline() const override { return pipeline_; }
  const std::vector<PicturePart>& parts() const override { return parts_; }

  Config config(const std::string& part) const override {
    if (!options_.config.empty())
      return Config::read(options_.config + "/" + part + "/config.json");
    // Pixels of a side in training: diffusers' set_image_size.
    const int64_t size = xl_ ? 1024 : is_2() && prediction_type_ == "v_prediction" ? 768 : 512;
    nlohmann::json made;
    if (part == "unet") made = unet_config_of(unet_, size / 8);
    if (part == "vae") made = vae_config_of(vae_, size, xl_ ? 0.13025 : 0.18215);
    if (part == "text_encoder")
      made = is_2() ? open_clip_config_of(open_clip_, false) : clip_config_of(clip_);
    if (part == "text_encoder_2") made = open_clip_config_of(open_clip_, true);
    return Config(made, path_ + ": " + part);
  }

  std::unique_ptr<formats::TensorSource> weights(const std::string& part) const override {
    return std::make_unique<RenamedTensors>(file_, names(part));
  }

  Config scheduler(const std::string&) const override {
    if (options_.config.empty())
      return Config(scheduler_config_of(prediction_type_, xl_), path_ + ": scheduler");
    const std::string file = options_.config + "/scheduler/scheduler_config.json";
    return with_prediction_type(Config(read_scheduler_config(file), file),
                                options_.prediction_type);
  }

  std::unique_ptr<text::Tokenizer> tokenizer(const std::string& part) const override {
    const std::string own = options_.config + "/" + part;
    if (options_.tokenizer.empty() && !options_.config.empty()) return text::open_tokenizer(own);
    auto tokenizer = find_tokenizer();
    // OpenCLIP fills a text up with zeros, whatever the vocabulary's file says of padding.
    if (is_2() || part == "tokenizer_2") tokenizer->pad_id = 0;
    return tokenizer;
  }

 private:
  bool is_2() const { return clip_.empty(); }  // Stable Diffusion 2.x
  std::vector<RenamedTensor> names(const std::string& part) const {
    if (part == "unet") return unet_names(unet_);
    if (part == "vae") return vae_names(vae_);
    if (part == "text_encoder_2") return open_clip_names(open_clip_, true);
    return is_2() ? open_clip_names(open_clip_, false) : clip_names(clip_);
  }

  bool inpaints() const { return unet_.shape("input_blocks.0.0.weight", 4)[1] == 9; }

  std::unique_ptr<text::Tokenizer> find_tokenizer() const {
    if (!options_.tokenizer.empty()) return open_vocabulary(options_.tokenizer);
    const std::string beside = (fs::path(path_).parent_path() / "tokenizer").string();
    if (text::has_tokenizer(beside)) return text::open_tokenizer(beside);
    constexpr const char* kHub = "openai/clip-vit-large-patch14";
    std::string cached;
    try {
      cached = models::resolve_model(kHub);
    } catch (const Error&) {
      fail("{}: a checkpoint in one file has no tokenizer. Looked for {} and for {} in the Hugging "
           "Face cache; give --tokenizer a folder with CLIP's vocabulary (tokenizer.json, or "
           "vocab.json and merges.txt), such as tokenizer/ of a diffusers folder of Stable "
           "Diffusion",
           path_, beside, kHub);
    }
    return text::open_tokenizer(cached);
  }

  std::string path_;
  PictureFilesOptions options_;
  std::shared_ptr<const formats::TensorSource> file_;
  bool xl_;
  Section unet_, vae_, clip_, open_clip_;
  std::string pipeline_ = "StableDiffusionPipeline", prediction_type_;
  std::vector<PicturePart> parts_;
};

class SingleControlNet : public PictureFiles {
 public:
  SingleControlNet(const std::string& path, const Config* unet)
      : path_(path), file_(open_shared(path)), net_(*file_, controlnet_prefix(*file_)),
        config_(controlnet_config_of(net_)) {
    if (!unet) return;
    const nlohmann::json& own = config_;
    nlohmann::json shared = models::controlnet_config_json(
        *unet, own.at("conditioning_channels").get<int64_t>(), "rgb");
    shared["in_channels"] = own.at("in_channels");
    shared["conditioning_embedding_out_channels"] = own.at("conditioning_embedding_out_channels");
    config_ = shared;
  }

  const std::string& path() const override { return path_; }
  std::string format() const override { return "single file in the original naming"; }
  const std::string& pipeline() const override { return class_; }
  const std::vector<PicturePart>& parts() const override { return parts_; }
  Config config(const std::string&) const override { return Config(config_, path_); }
  std::unique_ptr<formats::TensorSource> weights(const std::string&) const override {
    return std::make_unique<RenamedTensors>(file_, controlnet_names(net_));
  }
  Config scheduler(const std::string&) const override { fail("{}: no scheduler", path_); }
  std::unique_ptr<text::Tokenizer> tokenizer(const std::string&) const override {
    fail("{}: no tokenizer", path_);
  }

 private:
  std::string path_;
  std::shared_ptr<const formats::TensorSource> file_;
  Section net_;
  nlohmann::json config_;
  std::string class_ = "ControlNetModel";
  std::vector<PicturePart> parts_ = {{"controlnet", "ControlNetModel"}};
};

}  // namespace

bool is_single_file(const std::string& path) {
  return has_tensor_extension(path) &&
         formats::open_tensors(path)->has(std::string(kUnet) + "input_blocks.0.0.weight");
}

bool is_single_controlnet(const std::string& path) {
  if (!has_tensor_extension(path)) return false;
  const auto file = formats::open_tensors(path);
  return file->has("control_model.input_hint_block.0.weight") ||
         file->has("input_hint_block.0.weight");
}

std::unique_ptr<PictureFiles> open_single_file(const std::string& path,
                                               const PictureFilesOptions& options) {
  return std::make_unique<SingleFile>(path, options);
}

std::unique_ptr<PictureFiles> open_single_controlnet(const std::string& path,
                                                     const Config* unet) {
  return std::make_unique<SingleControlNet>(path, unet);
}

}  // namespace sumi::diffusion

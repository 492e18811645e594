#include "diffusion/picture_files.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "diffusion/safety_checker.h"
#include "diffusion/scheduler.h"
#include "diffusion/single_file/single_file.h"
#include "formats/bytes.h"
#include "formats/weights_folder.h"
#include "models/diffusion/unet_config.h"
#include "models/diffusion/vae.h"
#include "models/encoders/text_encoder.h"
#include "models/language/open.h"

namespace sumi::diffusion {

namespace {

using models::Config;

class FolderFiles : public PictureFiles {
 public:
  FolderFiles(const std::string& folder, const PictureFilesOptions& options)
      : folder_(folder), options_(options) {
    const std::string file = folder + "/model_index.json";
    const nlohmann::json index = formats::read_json_file(file);
    if (!index.is_object()) fail("{}: expected an object", file);
    pipeline_ = formats::optional_string(index, "_class_name", "unknown", file);
    for (const auto& [name, value] : index.items()) {
      if (value.is_boolean()) flags_[name] = value.get<bool>();
      if (!value.is_array() || name.empty() || name[0] == '_') continue;  // settings
      if (name[0] == '.' || name.find('/') != std::string::npos)
        fail("{}: {}: a part's name is a folder's", file, formats::shown(name));
      if (value.size() != 2 || !(value[1].is_string() || value[1].is_null()))
        fail("{}: {}: expected a library and a class", file, name);
      const bool dropped = name == "safety_checker" && !options.safety_checker;
      if (value[1].is_string() && !dropped) parts_.push_back({name, value[1].get<std::string>()});
    }
    if (!options.variant.empty()) check_variant();
  }

  const std::string& path() const override { return folder_; }
  std::string format() const override { return "diffusers folder"; }
  const std::string& pipeline() const override { return pipeline_; }
  const std::vector<PicturePart>& parts() const override { return parts_; }
  Config config(const std::string& part) const override {
    return Config::read(folder_ + "/" + part + "/config.json");
  }
  std::unique_ptr<formats::TensorSource> weights(const std::string& part) const override {
    return formats::open_weights_folder(folder_ + "/" + part, options_.variant);
  }
  Config scheduler(const std::string& part) const override {
    const std::string file = folder_ + "/" + part + "/scheduler_config.json";
    return with_prediction_type(Config(read_scheduler_config(file), file),
                                part == "scheduler" ? options_.prediction_type : "");
  }
  std::unique_ptr<text::Tokenizer> tokenizer(const std::string& part) const override {
    if (!options_.tokenizer.empty()) return open_vocabulary(options_.tokenizer);
    return text::open_tokenizer(folder_ + "/" + part);
  }
  bool flag(const std::string& name, bool missing) const override {
    const auto found = flags_.find(name);
    return found == flags_.end() ? missing : found->second;
  }
  Config preprocessor() const override {
    return Config::read(folder_ + "/feature_extractor/preprocessor_config.json");
  }

 private:
  // Parts without the variant give what they have; one at least must have it.
  void check_variant() const {
    std::vector<std::string> found;
    for (const PicturePart& part : parts_)
      for (const std::string& variant : formats::weight_variants(folder_ + "/" + part.name))
        if (std::find(found.begin(), found.end(), variant) == found.end()) found.push_back(variant);
    if (std::find(found.begin(), found.end(), options_.variant) == found.end())
      fail("{}: no part has the variant {}; there {}", folder_, options_.variant,
           found.empty() ? "are no variants" : fmt::format("are {}", fmt::join(found, ", ")));
  }

  std::string folder_, pipeline_;
  PictureFilesOptions options_;
  std::map<std::string, bool> flags_;
  std::vector<PicturePart> parts_;
};

// A part's folder by itself: config.json names its class.
class PartFiles : public PictureFiles {
 public:
  PartFiles(const std::string& folder, const PictureFilesOptions& options)
      : folder_(folder), options_(options), class_(class_in(folder)) {
    const char* name = class_.rfind("Autoencoder", 0) == 0 ? "vae"
                       : class_ == "ControlNetModel"       ? "controlnet"
                       : class_ == "UNet2DConditionModel"  ? "unet"
                                                           : "part";
    parts_ = {{name, class_}};
  }

  // The class that a folder's config.json names in diffusers' way, "" if it does not.
  static std::string class_in(const std::string& folder) {
    const std::string file = folder + "/config.json";
    if (!formats::file_exists(file)) return "";
    return Config::read(file).get_string("_class_name", "");
  }

  const std::string& path() const override { return folder_; }
  std::string format() const override { return "part of a diffusers folder"; }
  const std::string& pipeline() const override { return class_; }
  const std::vector<PicturePart>& parts() const override { return parts_; }
  Config config(const std::string&) const override {
    return Config::read(folder_ + "/config.json");
  }
  std::unique_ptr<formats::TensorSource> weights(const std::string&) const override {
    return formats::open_weights_folder(folder_, options_.variant);
  }
  Config scheduler(const std::string&) const override { fail("{}: no scheduler", folder_); }
  std::unique_ptr<text::Tokenizer> tokenizer(const std::string&) const override {
    fail("{}: no tokenizer", folder_);
  }

 private:
  std::string folder_;
  PictureFilesOptions options_;
  std::string class_;
  std::vector<PicturePart> parts_;
};

struct KnownPart {
  const char* name;
  std::vector<const char*> classes;  // empty: any
  bool required;
  void (*check)(const PictureFiles& files);  // may be null
};

const std::vector<KnownPart>& known_parts() {
  static const std::vector<KnownPart> parts = {
      {"tokenizer",
       {"CLIPTokenizer", "CLIPTokenizerFast", "BertTokenizer", "BertTokenizerFast",
        "XLMRobertaTokenizer", "XLMRobertaTokenizerFast", "RobertaTokenizer",
        "RobertaTokenizerFast"},
       true,
       [](const PictureFiles& files) { files.tokenizer("tokenizer"); }},
      {"text_encoder",
       {"CLIPTextModel", "CLIPTextModelWithProjection", "BertModel", "RobertaModel",
        "XLMRobertaModel", "RobertaSeriesModelWithTransformation"},
       true,
       [](const PictureFiles& files) { models::check_text_encoder(files.config("text_encoder")); }},
      {"tokenizer_2",  // Stable Diffusion XL
       {"CLIPTokenizer", "CLIPTokenizerFast"},
       false,
       [](const PictureFiles& files) { files.tokenizer("tokenizer_2"); }},
      {"text_encoder_2",
       {"CLIPTextModelWithProjection"},
       false,
       [](const PictureFiles& files) {
         models::check_text_encoder(files.config("text_encoder_2"));
       }},
      {"unet",
       {"UNet2DConditionModel"},
       true,
       [](const PictureFiles& files) { models::unet_config(files.config("unet")); }},
      {"vae",
       {"AutoencoderKL", "AutoencoderTiny"},
       true,
       [](const PictureFiles& files) { models::vae_factor(files.config("vae")); }},
      {"scheduler", {}, true, nullptr},  // another may be chosen
      {"low_res_scheduler",  // the x4 upscaler's, of noise on the small picture
       {},
       false,
       [](const PictureFiles& files) {
         const Config config = files.scheduler("low_res_scheduler");
         make_scheduler(config.json(), config.file());
       }},
      {"safety_checker",
       {"StableDiffusionSafetyChecker"},
       false,
       [](const PictureFiles& files) {
         check_safety_checker(files.config("safety_checker"), files.preprocessor());
       }},
      {"feature_extractor", {}, false, nullptr},
      {"controlnet",
       {"ControlNetModel"},
       false,
       [](const PictureFiles& files) { models::controlnet_config(files.config("controlnet")); }},
  };
  return parts;
}

}  // namespace

std::string PictureFiles::class_of(const std::string& part) const {
  for (const PicturePart& one : parts())
    if (one.name == part) return one.class_name;
  return "";
}

Config PictureFiles::preprocessor() const { fail("{}: no feature_extractor", path()); }

bool is_picture_model(const std::string& path) {
  return formats::file_exists(path + "/model_index.json") || is_single_file(path);
}

bool is_picture_part(const std::string& path) {
  return !PartFiles::class_in(path).empty() || is_single_controlnet(path);
}

std::unique_ptr<PictureFiles> open_picture_part(const std::string& path,
                                                const PictureFilesOptions& options) {
  if (is_single_controlnet(path)) return open_single_controlnet(path, nullptr);
  return std::make_unique<PartFiles>(path, options);
}

std::unique_ptr<PictureFiles> open_controlnet(const std::string& path,
                                              const PictureFilesOptions& options,
                                              const Config& unet) {
  if (std::filesystem::is_regular_file(path)) return open_single_controlnet(path, &unet);
  return std::make_unique<PartFiles>(path, options);
}

std::unique_ptr<PictureFiles> open_picture_files(const std::string& path,
                                                 const PictureFilesOptions& options) {
  if (is_single_file(path)) return open_single_file(path, options);
  if (!options.config.empty())
    fail("{}: --config is for a checkpoint in one file; this is none", path);
  if (is_picture_model(path)) return std::make_unique<FolderFiles>(path, options);
  fail("{}: no picture model: expected a diffusers folder with model_index.json, or a checkpoint "
       "of Stable Diffusion in one file",
       path);
}

std::unique_ptr<text::Tokenizer> open_vocabulary(const std::string& path) {
  const std::string inner = path + "/tokenizer";
  if (text::has_tokenizer(path)) return text::open_tokenizer(path);
  if (text::has_tokenizer(inner)) return text::open_tokenizer(inner);
  if (std::filesystem::is_regular_file(path)) return text::open_tokenizer_file(path);
  if (std::filesystem::exists(path)) return text::open_tokenizer(path);  // says what is missing
  return text::open_tokenizer(models::resolve_model(path));
}

Config with_prediction_type(const Config& scheduler, const std::string& type) {
  if (type.empty()) return scheduler;
  nlohmann::json changed = scheduler.json();
  changed["prediction_type"] = type;
  return Config(changed, scheduler.file());
}

void check_part(const PictureFiles& files, const PicturePart& part) {
  for (const KnownPart& known : known_parts()) {
    if (part.name != known.name) continue;
    const auto& classes = known.classes;
    if (!classes.empty() &&
        std::find(classes.begin(), classes.end(), part.class_name) == classes.end())
      fail("{}: part {}: expected {}, found {}", files.path(), part.name,
           fmt::join(classes, " or "), part.class_name.empty() ? "none" : part.class_name);
    if (known.check) known.check(files);
    return;
  }
  fail("{}: part {} ({}) is not known", files.path(), part.name, part.class_name);
}

void check_parts(const PictureFiles& files, const std::vector<std::string>& optional) {
  for (const KnownPart& known : known_parts())
    if (known.required && files.class_of(known.name).empty() &&
        std::find(optional.begin(), optional.end(), known.name) == optional.end())
      fail("{}: part {} is missing", files.path(), known.name);
  for (const PicturePart& part : files.parts()) check_part(files, part);
}

}  // namespace sumi::diffusion

#include "diffusion/picture_model.h"

#include "base/error.h"
#include "formats/weights_folder.h"

namespace sumi::diffusion {

namespace {

using models::Config;

// The class that model_index.json names for a part, "" if it has none.
std::string class_of(const nlohmann::json& index, const char* part, const std::string& file) {
  const auto found = index.find(part);
  if (found == index.end() || found->is_null()) return "";
  if (!found->is_array() || found->size() != 2)
    fail("{}: {}: expected a library and a class", file, part);
  const nlohmann::json& name = found->at(1);
  if (name.is_null()) return "";
  if (!name.is_string()) fail("{}: {}: expected a class's name", file, part);
  return name.get<std::string>();
}

void expect_class(const nlohmann::json& index, const char* part, const std::string& file,
                  const std::vector<std::string>& known) {
  const std::string name = class_of(index, part, file);
  if (name.empty()) fail("{}: {} is missing", file, part);
  for (const std::string& one : known)
    if (name == one) return;
  fail("{}: {}: expected {}, found {}", file, part, fmt::join(known, " or "), name);
}

constexpr const char* kTextPart = "text_encoder";
constexpr const char* kUnetPart = "unet";

}  // namespace

bool is_diffusers_folder(const std::string& path) {
  return formats::file_exists(path + "/model_index.json");
}

PictureModel::PictureModel(const std::string& folder, const PictureModelOptions& options)
    : folder_(folder), options_(options) {
  const std::string file = folder + "/model_index.json";
  if (!is_diffusers_folder(folder))
    fail("{}: no picture model: expected a diffusers folder with model_index.json", folder);
  const nlohmann::json index = formats::read_json_file(file);
  if (!index.is_object()) fail("{}: expected an object", file);
  expect_class(index, "tokenizer", file, {"CLIPTokenizer", "CLIPTokenizerFast"});
  expect_class(index, "text_encoder", file, {"CLIPTextModel", "CLIPTextModelWithProjection"});
  expect_class(index, "unet", file, {"UNet2DConditionModel"});
  expect_class(index, "vae", file, {"AutoencoderKL", "AutoencoderTiny"});
  if (!class_of(index, "text_encoder_2", file).empty())
    fail("{}: text_encoder_2: pipelines with two text encoders are not known", file);
  has_safety_checker_ = !class_of(index, "safety_checker", file).empty();

  const std::string scheduler_file = folder + "/scheduler/scheduler_config.json";
  scheduler_config_ = formats::read_json_file(scheduler_file);
  if (!scheduler_config_.is_object()) fail("{}: expected an object", scheduler_file);

  const Config unet = Config::read(folder + "/unet/config.json");
  unet_config_ = models::unet_config(unet);
  sample_size_ = unet.get_int("sample_size", 64);
  if (sample_size_ < 1 || sample_size_ > 4096)
    fail("{}: sample_size is {}, expected 1 to 4096", unet.file(), sample_size_);
  const Config vae = Config::read(folder + "/vae/config.json");
  const bool tiny = vae.get_string("_class_name", "") == "AutoencoderTiny";
  const size_t levels =
      vae.get_ints(tiny ? "encoder_block_out_channels" : "block_out_channels").size();
  if (levels < 1 || levels > 8)
    fail("{}: block_out_channels has {} entries, expected 1 to 8", vae.file(), levels);
  factor_ = int64_t{1} << (levels - 1);

  tokenizer_ = text::open_tokenizer(folder + "/tokenizer");
  load_.compute = options.compute;
  for (const auto& [path, weight] : options.loras) loras_.add(path, weight);
  for (const char* part : {kTextPart, kUnetPart}) loras_.merged(open_part(part), part);
  controlnets_.resize(options.controlnets.size());
  for (const std::string& net : options.controlnets)
    models::controlnet_config(Config::read(net + "/config.json"));
}

std::unique_ptr<formats::TensorSource> PictureModel::open_part(const std::string& part) const {
  return formats::open_weights_folder(folder_ + "/" + part);
}

std::unique_ptr<Scheduler> PictureModel::scheduler(const std::string& name) const {
  const std::string file = folder_ + "/scheduler/scheduler_config.json";
  return name.empty() ? make_scheduler(scheduler_config_, file)
                      : make_scheduler(name, scheduler_config_, file);
}

const models::ClipText& PictureModel::text_encoder() {
  if (!text_encoder_) {
    const Config config = Config::read(folder_ + "/text_encoder/config.json");
    text_encoder_ = std::make_unique<models::ClipText>(
        config, *loras_.merged(open_part(kTextPart), kTextPart), load_);
  }
  return *text_encoder_;
}

const Concepts& PictureModel::concepts() {
  if (!concepts_read_)
    for (const auto& [path, word] : options_.embeddings)
      read_concept(path, word, text_encoder().hidden_size(), concepts_);
  concepts_read_ = true;
  return concepts_;
}

const models::UNet& PictureModel::unet() {
  if (!unet_) {
    const Config config = Config::read(folder_ + "/unet/config.json");
    unet_ = std::make_unique<models::UNet>(config, *loras_.merged(open_part(kUnetPart), kUnetPart),
                                           load_);
  }
  return *unet_;
}

const models::ControlNet& PictureModel::controlnet(size_t index) {
  std::unique_ptr<models::ControlNet>& net = controlnets_.at(index);
  if (!net) net = models::ControlNet::open(options_.controlnets[index], load_);
  return *net;
}

const models::Vae& PictureModel::vae(bool encoder) {
  if (!vae_ || (encoder && !vae_has_encoder_)) {
    vae_ = models::open_vae(folder_ + "/vae", {load_, encoder});
    vae_has_encoder_ = encoder;
  }
  return *vae_;
}

void PictureModel::text_done() {
  if (!options_.low_memory) return;
  text_encoder_.reset();
  vae_.reset();
}

void PictureModel::denoising_done() {
  if (!options_.low_memory) return;
  unet_.reset();
  for (auto& net : controlnets_) net.reset();
}

}  // namespace sumi::diffusion

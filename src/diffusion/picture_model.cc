#include "diffusion/picture_model.h"

#include "base/error.h"
#include "kernels/picture_tiles.h"
#include "tensor/block_cache.h"

namespace sumi::diffusion {

namespace {

using models::Config;

constexpr const char* kTextPart = "text_encoder";
constexpr const char* kTextPart2 = "text_encoder_2";
constexpr const char* kUnetPart = "unet";
constexpr const char* kVaePart = "vae";
constexpr const char* kLowResPart = "low_res_scheduler";
constexpr const char* kControlPart = "controlnet";
constexpr const char* kCheckerPart = "safety_checker";

}  // namespace

PictureModel::PictureModel(const std::string& path, const PictureModelOptions& options)
    : options_(options),
      files_(open_picture_files(path, options.files)),
      low_memory_(options.low_memory) {
  const bool fresh_unet = !options.unet_config.empty();
  std::vector<std::string> optional = {kVaePart};
  if (fresh_unet) optional.push_back(kUnetPart);
  check_parts(*files_, optional);
  const Config unet =
      fresh_unet ? Config::read(options.unet_config) : files_->config(kUnetPart);
  unet_config_ = models::unet_config(unet);
  sample_size_ = unet.get_int("sample_size", 64);
  if (sample_size_ < 1 || sample_size_ > 4096)
    fail("{}: sample_size is {}, expected 1 to 4096", unet.file(), sample_size_);
  in_pixels_ = files_->class_of(kVaePart).empty();
  if (in_pixels_ && unet_config_.in_channels != models::NoAutoencoder().latent_channels())
    fail("{}: part vae is missing", path);
  factor_ = in_pixels_ ? 1 : models::vae_factor(files_->config(kVaePart));
  tokenizer_ = files_->tokenizer("tokenizer");
  std::vector<std::string> changed = {kTextPart};  // by LoRA
  if (!fresh_unet) changed.push_back(kUnetPart);
  const bool two = !files_->class_of(kTextPart2).empty();
  if (two != unet_config_.text_time)
    fail("{}: part {}: expected {} beside a network {} addition_embed_type", files_->path(),
         kTextPart2, two ? "none" : "one", two ? "without" : "with");
  if (two) {
    tokenizer_2_ = files_->tokenizer("tokenizer_2");
    changed.push_back(kTextPart2);
  }
  load_.compute = unet_load_.compute = options.compute;
  // Two prompts are 154 rows or more: worth tiles, where the processor has them.
  if (kernels::has_picture_tiles()) load_.many_rows = true;
  unet_load_.int8_weights = options.int8_weights;
  unet_load_.int8_inputs = options.int8_inputs;
  for (const auto& [file, weight] : options.loras) loras_.add(file, weight);
  loras_.check_parts(changed);
  for (const std::string& part : changed) loras_.merged(files_->weights(part), part);
  if (!in_pixels_) files_->weights(kVaePart);  // it is there
  if (!files_->class_of(kCheckerPart).empty()) files_->weights(kCheckerPart);
  // A pipeline saved with its ControlNet has it in its folder.
  if (options_.controlnets.empty() && !files_->class_of(kControlPart).empty())
    options_.controlnets = {path + "/" + kControlPart};
  controlnets_.resize(options_.controlnets.size());
  for (const std::string& net : options_.controlnets)
    nets_.push_back(open_controlnet(net, options.files, unet));
  for (const auto& net : nets_) check_part(*net, {"controlnet", net->pipeline()});
  control_load_.assign(nets_.size(), unet_load_);
  if (options.int8_trials) {
    unet_load_.int8_trial = std::make_shared<nn::Int8Trial>();
    for (nn::LoadOptions& load : control_load_) load.int8_trial = std::make_shared<nn::Int8Trial>();
  }
  if (!options.int8_layers.empty()) keep_layers(options.int8_layers);
}

void PictureModel::keep_layers(const std::string& path) {
  if (!options_.int8_weights) fail("{}: layers to keep out of int8, but the model is not loaded in int8", path);
  const std::unordered_set<std::string> kept = read_kept_layers(path);
  const auto give = [&](std::unordered_set<std::string> own, const formats::TensorSource& weights, const char* net,
                        nn::LoadOptions& load) {
    for (const std::string& layer : own)
      if (!weights.has(layer + ".weight")) fail("{}: kept: the {} has no layer {}", path, net, layer);
    load.not_int8 = std::make_shared<const std::unordered_set<std::string>>(std::move(own));
  };
  std::unordered_set<std::string> of_unet;
  for (const std::string& layer : kept)
    if (layer.rfind("controlnet.", 0) != 0) of_unet.insert(layer);
  give(std::move(of_unet), *files_->weights(kUnetPart), "model's UNet", unet_load_);
  // The file may be of more ControlNets than are used now.
  for (size_t i = 0; i < nets_.size(); ++i)
    give(layers_with_prefix(kept, control_prefix(i)), *nets_[i]->weights("controlnet"), "ControlNet", control_load_[i]);
}

std::vector<TriedNetwork> PictureModel::tried_networks() const {
  std::vector<TriedNetwork> networks = {{"", unet_load_.int8_trial.get()}};
  for (size_t i = 0; i < control_load_.size(); ++i)
    networks.push_back({control_prefix(i), control_load_[i].int8_trial.get()});
  return networks;
}

std::unique_ptr<Scheduler> PictureModel::scheduler(const std::string& name) const {
  const Config config = files_->scheduler("scheduler");
  return name.empty() ? make_scheduler(config.json(), config.file())
                      : make_scheduler(name, config.json(), config.file());
}

std::unique_ptr<Scheduler> PictureModel::low_res_scheduler() const {
  if (files_->class_of(kLowResPart).empty()) return nullptr;
  const Config config = files_->scheduler(kLowResPart);
  return make_scheduler(config.json(), config.file());
}

const models::TextEncoder& PictureModel::text_encoder() {
  if (!text_encoder_) {
    text_encoder_ = models::make_text_encoder(
        files_->config(kTextPart), *loras_.merged(files_->weights(kTextPart), kTextPart), load_);
  }
  return *text_encoder_;
}

const models::TextEncoder& PictureModel::text_encoder_2() {
  if (!text_encoder_2_)
    text_encoder_2_ = models::make_text_encoder(
        files_->config(kTextPart2), *loras_.merged(files_->weights(kTextPart2), kTextPart2), load_);
  return *text_encoder_2_;
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
    unet_ = std::make_unique<models::UNet>(
        files_->config(kUnetPart), *loras_.merged(files_->weights(kUnetPart), kUnetPart),
        unet_load_);
    tensor::release_cached_blocks();  // of weights on their way: steps need blocks of other sizes
  }
  return *unet_;
}

const models::ControlNet& PictureModel::controlnet(size_t index) {
  std::unique_ptr<models::ControlNet>& net = controlnets_.at(index);
  if (!net)
    net = std::make_unique<models::ControlNet>(nets_[index]->config("controlnet"),
                                               *nets_[index]->weights("controlnet"), control_load_[index]);
  return *net;
}

const models::Vae& PictureModel::vae(bool encoder) {
  if (!vae_ || (encoder && !vae_has_encoder_)) {
    if (in_pixels_)
      vae_ = std::make_unique<models::NoAutoencoder>();
    else
      vae_ = models::make_vae(files_->config(kVaePart), *files_->weights(kVaePart),
                              {load_, encoder});
    vae_has_encoder_ = encoder;
  }
  return *vae_;
}

const SafetyChecker* PictureModel::safety_checker() {
  if (!safety_checker_ && !files_->class_of(kCheckerPart).empty())
    safety_checker_ = std::make_unique<SafetyChecker>(files_->config(kCheckerPart),
                                                      *files_->weights(kCheckerPart),
                                                      files_->preprocessor(), load_);
  return safety_checker_.get();
}

void PictureModel::release_text() {
  text_encoder_.reset();
  text_encoder_2_.reset();
}

void PictureModel::text_done() {
  if (!low_memory_) return;
  release_text();
  vae_.reset();
}

void PictureModel::denoising_done() {
  if (!low_memory_) return;
  unet_.reset();
  for (auto& net : controlnets_) net.reset();
}

void PictureModel::checking_done() {
  if (low_memory_) safety_checker_.reset();
}

}  // namespace sumi::diffusion

#include "train/picture_nets.h"

#include <bit>
#include <filesystem>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/empty_source.h"
#include "formats/json.h"
#include "formats/safetensors.h"

namespace sumi::train {
namespace {

namespace fs = std::filesystem;
using models::Config;
using Named = std::vector<std::pair<std::string, Tensor>>;

constexpr const char* kUnet = "unet", *kText = "text_encoder", *kControl = "controlnet";
constexpr const char* kDiffusersWeights = "/diffusion_pytorch_model.safetensors";
constexpr const char* kTextWeights = "/model.safetensors";

nn::LoadOptions load_options(bool learns, ops::Products products) {
  nn::LoadOptions options;
  options.trainable = learns;
  options.frozen = !learns;
  options.products = products;
  return options;
}

void write_part(const std::string& folder, const nlohmann::json& config, const char* file,
                const Named& parameters, DType dtype) {
  fs::create_directories(folder);
  Named tensors;
  for (const auto& [name, tensor] : parameters)
    tensors.emplace_back(name, dtype == DType::f32 ? tensor : tensor.to(dtype));
  formats::write_safetensors(folder + file, tensors, {{"format", "pt"}});
  formats::write_text_file(folder + "/config.json", config.dump(2) + "\n");
}

// Parts of the folder that are not trained go along as they are.
void copy_entry(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::remove_all(to, error);
  fs::copy(from, to, fs::copy_options::recursive, error);
  if (error) fail("{}: cannot copy it to {}: {}", from.string(), to.string(), error.message());
}

void add_parameters(std::vector<Parameter>& all, const char* part, const Named& parameters) {
  for (const auto& [name, tensor] : parameters)
    all.push_back({std::string(part) + "." + name, tensor});
}

nlohmann::json fresh_control_config(const diffusion::PictureModel& model,
                                    const PictureNetOptions& options) {
  nlohmann::json config = models::controlnet_config_json(model.files().config(kUnet), 3,
                                                         options.bgr ? "bgr" : "rgb");
  // A width for each resolution between picture and latents; diffusers' own fit a factor of 8.
  nlohmann::json& widths = config["conditioning_embedding_out_channels"];
  if (!options.condition_widths.empty()) widths = options.condition_widths;
  else
    while (widths.size() > 1 && (int64_t{1} << (widths.size() - 1)) > model.factor())
      widths.erase(widths.size() - 1);
  return config;
}

}  // namespace

void PictureNets::check(const diffusion::PictureModel& model, const PictureNetOptions& options) {
  const diffusion::PictureFiles& files = model.files();
  if (!options.control && !options.lora && !formats::file_exists(files.path() + "/model_index.json"))
    fail("{}: the other parts of a model that learns come from a diffusers folder; found a {}",
         files.path(), files.format());
  if (!options.control) return;
  const Config config =
      options.controlnet.empty()
          ? Config(fresh_control_config(model, options), "the new ControlNet")
          : Config::read(options.controlnet + "/config.json");
  const size_t widths = models::controlnet_config(config).condition_widths.size();
  if (int64_t{1} << (widths - 1) != model.factor())
    fail("{}: conditioning_embedding_out_channels: expected {} widths, so that conditions become "
         "{} times smaller, found {}",
         config.file(), std::bit_width(static_cast<uint64_t>(model.factor())), model.factor(),
         widths);
}

PictureNets::PictureNets(const diffusion::PictureModel& model, const PictureNetOptions& options)
    : options_(options), files_(model.files()) {
  check(model, options);
  if (options.text_encoder) open_text();
  open_unet();
  if (options.control) open_control(model);
}

void PictureNets::open_unet() {
  nn::LoadOptions load = load_options(!options_.control && !options_.lora, options_.products);
  if (options_.lora) {
    unet_lora_ =
        std::make_unique<TrainableLora>(options_.lora_config, options_.lora_init, options_.seed);
    load.lora = unet_lora_->source();
  }
  if (options_.unet_config.empty()) {
    unet_ = std::make_unique<models::UNet>(files_.config(kUnet), *files_.weights(kUnet), load);
  } else {
    load.initial = std::make_shared<nn::InitialWeights>(options_.seed);
    unet_ =
        std::make_unique<models::UNet>(Config::read(options_.unet_config), formats::EmptySource(), load);
  }
  if (unet_lora_) unet_lora_->check_targets();
  unet_->set_checkpointing(options_.checkpoint_blocks);
}

void PictureNets::open_control(const diffusion::PictureModel& model) {
  if (options_.controlnet.empty()) {
    control_config_ = fresh_control_config(model, options_);
    control_ = models::ControlNet::from_unet(Config(control_config_, files_.config(kUnet).file()),
                                             *files_.weights(kUnet), options_.seed, options_.products);
  } else {
    control_config_ = formats::read_json_file(options_.controlnet + "/config.json");
    control_ = models::ControlNet::open(options_.controlnet, load_options(true, options_.products));
  }
  control_->set_checkpointing(options_.checkpoint_blocks);
}

void PictureNets::open_text() {
  nn::LoadOptions load = load_options(!options_.lora, options_.products);
  if (options_.lora) {
    nn::LoraConfig config = options_.lora_config;
    config.targets = {"q_proj", "k_proj", "v_proj", "out_proj"};
    text_lora_ =
        std::make_unique<TrainableLora>(config, options_.lora_init, options_.seed + 0x7e47);
    load.lora = text_lora_->source();
  }
  text_ = std::make_unique<models::ClipText>(files_.config(kText), *files_.weights(kText), load);
  if (text_lora_) text_lora_->check_targets();
}

std::vector<std::shared_ptr<nn::DropoutClock>> PictureNets::clocks() const {
  std::vector<std::shared_ptr<nn::DropoutClock>> clocks;
  for (const auto* lora : {unet_lora_.get(), text_lora_.get()})
    if (lora) clocks.push_back(lora->clock());
  return clocks;
}

std::vector<Parameter> PictureNets::parameters() const {
  std::vector<Parameter> all;
  if (control_) {
    add_parameters(all, kControl, control_->parameters());
  } else if (unet_lora_) {
    for (const auto* lora : {unet_lora_.get(), text_lora_.get()})
      if (lora)
        for (Parameter parameter : lora->parameters()) {
          parameter.name = (lora == unet_lora_.get() ? "unet." : "text_encoder.") + parameter.name;
          all.push_back(std::move(parameter));
        }
  } else {
    add_parameters(all, kUnet, unet_->parameters());
    if (text_) add_parameters(all, kText, text_->parameters());
  }
  return all;  // diffusers' scripts let everything decay
}

size_t PictureNets::weight_bytes() const {
  return unet_->weight_bytes() + (control_ ? control_->weight_bytes() : 0) +
         (text_ ? text_->weight_bytes() : 0);
}

const char* PictureNets::result_name(const PictureNetOptions& options) {
  return options.control ? "ControlNet" : options.lora ? "LoRA" : "model";
}

void PictureNets::save(const std::string& folder, DType dtype) const {
  if (control_) {
    write_part(folder, control_config_, kDiffusersWeights, control_->parameters(), dtype);
    return;
  }
  if (unet_lora_) {
    save_lora(folder, dtype);
    return;
  }
  nlohmann::json index = formats::read_json_file(files_.path() + "/model_index.json");
  index[kUnet] = {"diffusers", "UNet2DConditionModel"};
  for (const auto& [part, value] : index.items()) {
    const fs::path from = fs::path(files_.path()) / part;
    const bool learned = part == kUnet || (text_ && part == kText);
    if (value.is_array() && !learned && fs::is_directory(from))
      copy_entry(from, fs::path(folder) / part);
  }
  nlohmann::json unet_config = options_.unet_config.empty()
                                   ? files_.config(kUnet).json()
                                   : formats::read_json_file(options_.unet_config);
  unet_config["_class_name"] = "UNet2DConditionModel";
  write_part(folder + "/unet", unet_config, kDiffusersWeights, unet_->parameters(), dtype);
  if (text_)
    write_part(folder + "/text_encoder", files_.config(kText).json(), kTextWeights,
               text_->parameters(), dtype);
  formats::write_text_file(folder + "/model_index.json", index.dump(2) + "\n");
}

// B is written times alpha / r: the file then means the same to programs that know alpha and to
// those that take it to be r.
void PictureNets::save_lora(const std::string& folder, DType dtype) const {
  Named tensors;
  const auto add = [&](const std::string& part, const TrainableLora& lora) {
    for (const auto& [module, matrices] : lora.scaled_matrices()) {
      tensors.emplace_back(part + module + ".lora_A.weight", matrices.a.to(dtype));
      tensors.emplace_back(part + module + ".lora_B.weight", matrices.b.to(dtype));
    }
  };
  add("unet.", *unet_lora_);
  if (text_lora_) add("text_encoder.", *text_lora_);
  formats::write_safetensors(folder + "/pytorch_lora_weights.safetensors", tensors,
                             {{"format", "pt"}});
}

}  // namespace sumi::train

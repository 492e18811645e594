// The networks of a picture training: which of them learn, and how they become files again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "diffusion/picture_model.h"
#include "models/diffusion/controlnet.h"
#include "models/encoders/clip.h"
#include "train/lora_training.h"

namespace sumi::train {

struct PictureNetOptions {
  bool control = false;             // a ControlNet learns; else the UNet does
  std::string controlnet;           // the one to begin with; empty: a fresh one made of the UNet
  bool bgr = false;                 // channel order that a fresh ControlNet wants
  std::vector<int64_t> condition_widths;  // of its hint encoder; empty: diffusers'
  std::string unet_config;          // a UNet from nothing
  bool lora = false;                // adapters learn, not the weights
  nn::LoraConfig lora_config;
  LoraInit lora_init = LoraInit::gaussian;
  bool text_encoder = false;        // it learns, too
  bool checkpoint_blocks = false;
  ops::Products products = ops::Products::f32;  // bf16 keeps frozen weights so
  uint64_t seed = 42;
};

class PictureNets {
 public:
  // What can be checked before weights are read. Throws Error naming file and field.
  static void check(const diffusion::PictureModel& model, const PictureNetOptions& options);
  // The model, whose UNet and text encoder are read here from its files, must outlive this. Throws
  // Error.
  PictureNets(const diffusion::PictureModel& model, const PictureNetOptions& options);

  const models::UNet& unet() const { return *unet_; }
  const models::ControlNet* control() const { return control_.get(); }
  const models::ClipText* text() const { return text_.get(); }  // null: it does not learn
  // Of the adapters' dropout.
  std::vector<std::shared_ptr<nn::DropoutClock>> clocks() const;

  // Named by network and layer.
  std::vector<Parameter> parameters() const;
  size_t weight_bytes() const;

  // What learned, into a folder that exists: a whole diffusers folder for a UNet, config.json and
  // weights for a ControlNet, pytorch_lora_weights.safetensors for adapters. Throws Error naming
  // the file.
  void save(const std::string& folder, DType dtype) const;
  static const char* result_name(const PictureNetOptions& options);

 private:
  void open_unet();
  void open_control(const diffusion::PictureModel& model);
  void open_text();
  void save_lora(const std::string& folder, DType dtype) const;

  PictureNetOptions options_;
  const diffusion::PictureFiles& files_;
  std::unique_ptr<TrainableLora> unet_lora_, text_lora_;
  std::unique_ptr<models::UNet> unet_;
  std::unique_ptr<models::ControlNet> control_;
  std::unique_ptr<models::ClipText> text_;
  nlohmann::json control_config_;
};

}  // namespace sumi::train

// Checkpoints in one file, in the original naming: Stable Diffusion 1.x, 2.x and XL (UNet,
// autoencoder and CLIP, OpenCLIP or both), and ControlNets.
#pragma once

#include <memory>
#include <string>

#include "diffusion/picture_files.h"

namespace sumi::diffusion {

bool is_single_file(const std::string& path);       // with a UNet
bool is_single_controlnet(const std::string& path);

// The tokenizer is options.tokenizer, else that of options.config, else tokenizer/ beside the file,
// else openai/clip-vit-large-patch14 in the Hugging Face cache.
std::unique_ptr<PictureFiles> open_single_file(const std::string& path,
                                               const PictureFilesOptions& options);
// `unet`, unless null, is the network to be controlled: what shapes do not tell is as there.
std::unique_ptr<PictureFiles> open_single_controlnet(const std::string& path,
                                                     const models::Config* unet);

}  // namespace sumi::diffusion

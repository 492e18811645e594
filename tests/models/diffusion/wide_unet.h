// A small UNet, of made-up weights, whose layers are wide enough for the kernels of published models.
#pragma once

#include <memory>

#include "formats/empty_source.h"
#include "models/diffusion/unet.h"

namespace sumi::models {

// Its second level has `deep` channels.
inline std::unique_ptr<UNet> wide_unet(nn::LoadOptions options, int deep) {
  const nlohmann::json json = {{"in_channels", 4},
                               {"out_channels", 4},
                               {"block_out_channels", {64, deep}},
                               {"down_block_types", {"CrossAttnDownBlock2D", "DownBlock2D"}},
                               {"up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D"}},
                               {"layers_per_block", 1},
                               {"norm_num_groups", 4},
                               {"cross_attention_dim", 64},
                               {"attention_head_dim", 2}};
  options.initial = std::make_shared<nn::InitialWeights>(3);
  return std::make_unique<UNet>(Config(json, "config.json"), formats::EmptySource(), options);
}

}  // namespace sumi::models

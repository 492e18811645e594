// LoRA files (arXiv:2106.09685), merged into a model's weights as they are loaded:
// W + weight * alpha / rank * up * down.
//
// Names: diffusers and peft ("unet.<layer>.lora_A.weight", "text_encoder.<layer>.lora_B.weight",
// "<layer>.lora.down.weight", "<layer>.lora_linear_layer.up.weight", "<block>.processor.to_q_lora.
// down.weight") and kohya ("lora_unet_<layer with underscores>.lora_down.weight", "lora_te_...",
// with ".alpha").
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/tensor_source.h"

namespace sumi::diffusion {

struct LoraChange {
  Tensor down, up;   // [r, I(, k, k)], [O, r(, 1, 1)]
  float factor = 1;  // weight * alpha / r
};

// The changes of one or several files to the parts of a pipeline.
class LoraSet {
 public:
  // Adds a file with a weight. Throws Error naming file and tensor if a name is not understood, or a
  // pair is not complete.
  void add(const std::string& path, float weight);

  bool empty() const { return changes_.empty(); }
  // Throws Error naming a tensor that changes none of these parts.
  void check_parts(const std::vector<std::string>& parts) const;

  // `source` with the changes to `part` ("unet" or "text_encoder") merged into what get() returns
  // (f32 where changed). The set must outlive it. Throws Error naming the layers that the part does
  // not have, and changes whose shape does not fit.
  std::unique_ptr<formats::TensorSource> merged(std::unique_ptr<formats::TensorSource> source,
                                                const std::string& part) const;

 private:
  struct Layer {
    std::string file, name;  // for messages
    std::vector<LoraChange> changes;
  };
  // By part and layer with underscores for dots: "unet/down_blocks_0_resnets_0_conv1".
  std::map<std::string, Layer> changes_;
};

}  // namespace sumi::diffusion

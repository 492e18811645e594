// What a checkpoint's configuration promises, without loading it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "formats/gguf.h"
#include "formats/torch_file.h"
#include "models/language/config.h"

namespace sumi::models {

struct Outline {
  int64_t context = 0, vocab_size = 0;
  int64_t state_bytes_per_token = 0;  // keys and values of one token in every layer
  int64_t state_bytes = 0;            // what a recurrent model keeps, whatever the length
  std::string layers;                 // for people: "30: hidden 576, ..."
  std::vector<std::pair<std::string, int64_t>> sizes;  // for programs, under config.json's names
  // Of a model with pictures, of which the text model alone is run.
  int64_t unused_tensors = 0, unused_parameters = 0;
};

// Throws Error naming the architecture, field or tensors if the model cannot be run. Element types
// and shapes are checked only when a model is opened.
Outline outline(const Config& config, const formats::TensorSource& source);
Outline outline(const formats::GgufFile& file);
Outline outline(const formats::TorchFile& file);

}  // namespace sumi::models

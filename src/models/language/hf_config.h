// A decoder's hyperparameters as a config.json: the other direction of Family::from_config.
#pragma once

#include <nlohmann/json.hpp>

#include "models/language/family.h"

namespace sumi::models {

struct HuggingFaceConfig {
  const Family* family;
  nlohmann::ordered_json json;
  DecoderSpec spec;  // as the family reads it
};

// For a model from a GGUF file of this architecture: the first family of that name whose
// configuration, written under the keys that LLaMA and its relatives share, means the same model when
// it is read back. Throws Error naming the first difference if there is none.
HuggingFaceConfig hugging_face_config(const DecoderSpec& spec, const std::string& architecture,
                                      const std::string& source);

}  // namespace sumi::models

// A text and the model's state after it, in a file: to go on later, in another process, without
// reading the text again. For models whose state is of one size (RWKV); a cache of keys and values
// would be far larger than the text.
//
// The file is safetensors: "ids" [n] i32, the state's tensors, and metadata "format" (sumi-text-1),
// "model" (model_identity()) and "length": tokens the state holds, at most n. The rest of the ids
// is still to be processed.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/language/language_model.h"

namespace sumi::generate {

struct SavedText {
  std::vector<int32_t> ids;
  std::unique_ptr<models::DecodeState> state;  // of the first state->length() of them
};

// Under a temporary name first, then renamed. Throws Error if the model's states cannot be saved or
// the file cannot be written.
void save_text(const std::string& path, const models::LanguageModel& model,
               std::span<const int32_t> ids, const models::DecodeState& state);

// Throws Error naming the file if it is no such file, or another model's.
SavedText load_text(const std::string& path, const models::LanguageModel& model);

}  // namespace sumi::generate

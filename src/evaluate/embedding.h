// One vector for a whole text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/language/language_model.h"

namespace sumi::evaluate {

enum class Pooling {
  mean,  // of all positions
  cls,   // the first
  last,
};
// "mean", "cls" or "last". Throws Error on another name.
Pooling pooling_from_name(const std::string& name);

// [hidden_size] of the model's last layer, of length 1 if `normalize`. Throws Error on no ids, one
// outside the vocabulary, more than the model's context, or a model without hidden states.
std::vector<float> embed(const models::LanguageModel& model, std::span<const int32_t> ids,
                         Pooling pooling, bool normalize);

// What a sentence-transformers folder suggests (modules.json, 1_Pooling/config.json), or else what
// fits the model: the mean for encoders, the last position for decoders.
struct EmbeddingDefaults {
  Pooling pooling = Pooling::mean;
  bool normalize = true;
  int64_t max_tokens = 0;  // 0: the model's context
};
EmbeddingDefaults embedding_defaults(const std::string& path, bool encoder);

}  // namespace sumi::evaluate

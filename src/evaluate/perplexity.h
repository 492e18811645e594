// Perplexity of a model on a text.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "models/language/language_model.h"

namespace sumi::evaluate {

struct PerplexityOptions {
  int64_t context = 0;                   // tokens in a window; 0: the model's context
  std::function<void(double)> progress;  // 0 to 1; may be empty
};

struct PerplexityResult {
  double nll = 0;         // mean of -ln p over the tokens predicted
  double perplexity = 0;  // exp(nll)
  int64_t tokens = 0;     // tokens predicted
  int64_t windows = 0;
};

// One window if ids fit in the context; else consecutive windows of the context's length without
// overlap, the last one shorter. In each window every token but its first is predicted from those
// before it in the same window. Log-softmax and sums are in double. Throws Error on fewer than two
// ids, an id outside the vocabulary, or a context below 2 or beyond the model's.
PerplexityResult perplexity(const models::LanguageModel& model, std::span<const int32_t> ids,
                            const PerplexityOptions& options = {});

}  // namespace sumi::evaluate

// Beam search: the continuations of highest probability that a search of limited width finds.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "models/language/language_model.h"

namespace sumi::generate {

enum class EarlyStopping {
  no,     // when the best open beam, scored at its present length, is worse than the worst finished
          // one
  yes,    // as soon as there are as many finished texts as beams
  never,  // when no open beam can become better, even if it went on to the end at no cost
};

struct BeamOptions {
  int64_t beams = 4;        // 1 to 1024
  int64_t results = 1;      // texts returned, at most `beams`
  int64_t max_tokens = 64;  // of each continuation, its end included
  // A text's score is its log-probability / length^length_penalty: above 0, long texts gain.
  double length_penalty = 1;
  EarlyStopping early_stopping = EarlyStopping::no;
  std::vector<int32_t> end_ids;  // that end a text
  const std::atomic<bool>* cancel = nullptr;
};

struct BeamText {
  std::vector<int32_t> ids;  // without the prompt, with the id that ended it
  double score;
  bool ended;  // by one of end_ids, not by max_tokens
};

// The next token's logits [1, V], after `ids` have been appended to the state.
using NextLogits = std::function<Tensor(std::span<const int32_t> ids, models::DecodeState& state)>;

// Searches from `state`, which holds the prompt but for its last tokens `ids` (one at least). Best
// text first. The rules, and so the texts, are those of transformers' GenerationMixin._beam_search.
// Beams run one after the other on copies of the state. Empty if cancelled before anything is
// finished. Throws Error on an option out of range.
std::vector<BeamText> beam_search(const NextLogits& next,
                                  std::unique_ptr<models::DecodeState> state,
                                  std::span<const int32_t> ids, const BeamOptions& options);

// The same for a whole prompt.
std::vector<BeamText> beam_search(const models::LanguageModel& model,
                                  std::span<const int32_t> prompt_ids, const BeamOptions& options);

}  // namespace sumi::generate

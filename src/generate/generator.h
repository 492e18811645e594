// Text generation, one sequence at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/language/language_model.h"
#include "text/logprobs.h"
#include "text/sampler.h"
#include "text/tokenizer.h"

namespace sumi::generate {

struct GenerateOptions {
  // At most this many tokens are made. 0: until the model ends the text or its context is full.
  int64_t max_tokens = 0;
  // How each token is chosen.
  text::SamplerOptions sampling;
  // The text ends before the first of these strings.
  std::vector<std::string> stop;
  // The text ends at any of these ids, besides those the tokenizer names.
  std::vector<int32_t> stop_ids;
  // Goes on past the ids with which the model ends a text; stop_ids still count.
  bool ignore_eos = false;
  // Log-probabilities of this many most likely tokens at each step, before any sampling transform,
  // and of the chosen one. -1: none.
  int64_t logprobs = -1;
  // Leaves special tokens (end of turn and the like) out of the text.
  bool skip_special = true;
  // The text goes on amid a line: a space at its start, which the first word of a text is without in
  // some vocabularies, stays.
  bool keep_first_space = false;
  // Ends the generation soon after it becomes true, from another thread or a signal handler. May be
  // null.
  const std::atomic<bool>* cancel = nullptr;
  // Called with 0 to 1 while the prompt is processed. May be empty.
  std::function<void(double)> prefill_progress;
};

struct StreamPiece {
  int32_t id;             // the token just made
  std::string_view text;  // text that is now certain: whole characters, perhaps none
};
// Called after each token, and once at the end with id -1 if text was held back. Returns false to
// cancel.
using StreamCallback = std::function<bool(const StreamPiece&)>;

struct Timings {
  int64_t prompt_tokens = 0;   // in the prompt
  int64_t cached_tokens = 0;   // of them, found in the cache
  int64_t decoded_tokens = 0;  // tokens after the first, which the prompt's logits give
  double prefill_ms = 0;       // processing the prompt's other tokens
  double first_token_ms = 0;   // from the call to the first token chosen
  double decode_ms = 0;        // from there to the last token
  double prefill_tokens_per_second() const;  // 0 if there was nothing to process
  double decode_tokens_per_second() const;   // 0 if fewer than two tokens were made
};

struct GenerateResult {
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> ids;   // all tokens made, the one that ended the text included
  std::string text;           // without the stop string or the token that ended it
  std::string finish_reason;  // "stop", "length" or "cancelled"
  // With options.logprobs >= 0, one per id: the chosen token's, and the best.
  std::vector<text::TokenLogprob> chosen_logprobs;
  std::vector<std::vector<text::TokenLogprob>> best_logprobs;
  Timings timings;
};

// A model with the state of the last text: a new prompt keeps the longest prefix it shares with
// that text and processes only the rest; a recurrent state, which cannot be cut, goes on from its
// end, or from the end of the last prompt. The result does not depend on what was cached.
class Generator {
 public:
  // The model must outlive the generator, and so must the tokenizer, which may be null if only ids
  // are wanted (text is then empty).
  Generator(const models::LanguageModel& model, const text::Tokenizer* tokenizer);

  // Throws Error on an empty prompt, an id outside the vocabulary, a prompt that leaves no room for
  // one token, max_tokens beyond the room, stop strings without a tokenizer, or an option out of
  // range.
  GenerateResult generate(std::span<const int32_t> prompt_ids, const GenerateOptions& options,
                          const StreamCallback& stream = {});

  // Throws what generate() would, before any work.
  void check(std::span<const int32_t> prompt_ids, const GenerateOptions& options) const;

  // Forgets the cached text.
  void reset();
  // Takes a state that holds the text `ids`, as if they had just been processed.
  void adopt(std::unique_ptr<models::DecodeState> state, std::vector<int32_t> ids);

  const std::vector<int32_t>& cached_ids() const { return cached_ids_; }
  const models::DecodeState& state() const { return *state_; }
  size_t state_bytes() const { return state_->bytes(); }

 private:
  int64_t rewind_to(std::span<const int32_t> ids);
  void keep_snapshot();
  Tensor encode(std::span<const int32_t> ids, Timings& timings);
  Tensor process(std::span<const int32_t> ids, models::LogitsFor logits);
  Tensor prefill(std::span<const int32_t> ids, const GenerateOptions& options, Timings& timings);

  const models::LanguageModel& model_;
  const text::Tokenizer* tokenizer_;
  std::unique_ptr<models::DecodeState> state_;
  std::vector<int32_t> cached_ids_;  // the tokens in state_
  // Of a state that cannot be cut: as it was before the last token of the last prompt, and how many
  // tokens it held then. Null if there is none.
  std::unique_ptr<models::DecodeState> snapshot_;
  size_t snapshot_length_ = 0;
};

// Tokens a prompt of this many tokens leaves room for.
int64_t room_after(const models::LanguageModel& model, int64_t prompt_tokens);

}  // namespace sumi::generate

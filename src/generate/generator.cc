#include "generate/generator.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/error.h"
#include "text/stop.h"
#include "text/stream_decoder.h"

namespace sumi::generate {

namespace {

// Prompt tokens per call of the model: large enough for full speed, small enough that a cancelled
// prompt stops soon.
constexpr int64_t kPromptPiece = 512;

using Clock = std::chrono::steady_clock;

double ms_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

bool cancelled(const GenerateOptions& options) {
  return options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed);
}

// Token ids -> text that may be shown: whole characters, nothing of a stop string.
class TextOutput {
 public:
  TextOutput(const text::Tokenizer* tokenizer, const GenerateOptions& options)
      : stop_(options.stop) {
    if (tokenizer) decoder_.emplace(*tokenizer, options.skip_special);
    if (tokenizer && options.keep_first_space) decoder_->continue_text();
  }
  std::string add(int32_t id) { return decoder_ ? stop_.add(decoder_->push(id)) : std::string(); }
  std::string finish() {
    if (!decoder_) return {};
    std::string certain = stop_.add(decoder_->finish());
    return certain + stop_.finish();
  }
  bool stopped() const { return stop_.stopped(); }

 private:
  std::optional<text::StreamDecoder> decoder_;
  text::StopMatcher stop_;
};

}  // namespace

double Timings::prefill_tokens_per_second() const {
  const double tokens = static_cast<double>(prompt_tokens - cached_tokens);
  return prefill_ms > 0 ? tokens / prefill_ms * 1000 : 0;
}

double Timings::decode_tokens_per_second() const {
  return decode_ms > 0 ? static_cast<double>(decoded_tokens) / decode_ms * 1000 : 0;
}

int64_t room_after(const models::LanguageModel& model, int64_t prompt_tokens) {
  if (model.has_encoder()) prompt_tokens = static_cast<int64_t>(model.decoder_start().size());
  return std::max<int64_t>(0, model.max_positions() - prompt_tokens);
}

Generator::Generator(const models::LanguageModel& model, const text::Tokenizer* tokenizer)
    : model_(model), tokenizer_(tokenizer), state_(model.new_state()) {}

void Generator::reset() {
  state_ = model_.new_state();
  cached_ids_.clear();
  snapshot_.reset();
}

void Generator::adopt(std::unique_ptr<models::DecodeState> state, std::vector<int32_t> ids) {
  if (state->length() != static_cast<int64_t>(ids.size()))
    fail("a state of {} tokens beside {} ids", state->length(), ids.size());
  reset();
  state_ = std::move(state);
  cached_ids_ = std::move(ids);
}

void Generator::keep_snapshot() {
  snapshot_ = state_->clone();
  snapshot_length_ = cached_ids_.size();
}

void Generator::check(std::span<const int32_t> prompt_ids, const GenerateOptions& options) const {
  const int64_t length = static_cast<int64_t>(prompt_ids.size()), vocab = model_.vocab_size();
  if (length == 0) fail("prompt: no tokens; the model needs at least one");
  for (const int32_t id : prompt_ids)
    if (id < 0 || id >= vocab) fail("prompt: expected ids of 0 to {}, found {}", vocab - 1, id);
  const int64_t room = room_after(model_, length);
  if (room == 0)
    fail("prompt: {} tokens leave no room in the model's context of {}", length,
         model_.max_positions());
  if (options.max_tokens < 0) fail("max tokens: expected 0 or more, found {}", options.max_tokens);
  if (options.max_tokens > room)
    fail("max tokens: a prompt of {} tokens leaves room for {} in the context of {}, found {}",
         length, room, model_.max_positions(), options.max_tokens);
  if (options.logprobs < -1 || options.logprobs > vocab)
    fail("logprobs: expected 0 to {}, found {}", vocab, options.logprobs);
  for (const int32_t id : options.stop_ids)
    if (id < 0 || id >= vocab) fail("stop id: expected 0 to {}, found {}", vocab - 1, id);
  if (!options.stop.empty() && !tokenizer_)
    fail("stop: stop strings need a tokenizer, the model has none");
  text::check_sampler_options(options.sampling, vocab);
  text::StopMatcher(options.stop);
}

// Makes the state hold the longest prefix of ids it can, the last id left out (it must be processed
// to give logits); returns its length.
int64_t Generator::rewind_to(std::span<const int32_t> ids) {
  const size_t limit = std::min(cached_ids_.size(), ids.size() - 1);
  size_t shared = 0;
  while (shared < limit && cached_ids_[shared] == ids[shared]) ++shared;
  if (shared == cached_ids_.size()) return static_cast<int64_t>(shared);
  if (state_->can_truncate()) {
    state_->truncate(static_cast<int64_t>(shared));
    cached_ids_.resize(shared);
  } else if (snapshot_ && snapshot_length_ <= shared) {
    state_ = snapshot_->clone();
    cached_ids_.resize(snapshot_length_);
  } else {
    reset();
  }
  return static_cast<int64_t>(cached_ids_.size());
}

Tensor Generator::process(std::span<const int32_t> ids, models::LogitsFor logits) {
  try {
    Tensor result = model_.forward(ids, *state_, logits);
    cached_ids_.insert(cached_ids_.end(), ids.begin(), ids.end());
    return result;
  } catch (...) {  // the state may hold part of ids
    reset();
    throw;
  }
}

// For a model with an encoder: the logits that begin the text it writes. The prompt is read anew
// each time.
Tensor Generator::encode(std::span<const int32_t> ids, Timings& timings) {
  const auto start = Clock::now();
  timings.prompt_tokens = static_cast<int64_t>(ids.size());
  cached_ids_.clear();
  models::PromptState prompt = models::read_prompt(model_, ids);
  state_ = std::move(prompt.state);
  Tensor logits = process(prompt.rest, models::LogitsFor::last);
  timings.prefill_ms = ms_between(start, Clock::now());
  return logits;
}

// The logits after the prompt, or an undefined tensor when cancelled.
Tensor Generator::prefill(std::span<const int32_t> ids, const GenerateOptions& options,
                          Timings& timings) {
  if (model_.has_encoder()) return encode(ids, timings);
  const auto start = Clock::now();
  const int64_t count = static_cast<int64_t>(ids.size());
  timings.prompt_tokens = count;
  timings.cached_tokens = rewind_to(ids);
  Tensor logits;
  const bool snapshot = !state_->can_truncate();
  for (int64_t done = timings.cached_tokens; done < count && !cancelled(options);) {
    if (snapshot && done + 1 == count) keep_snapshot();
    // The last token comes alone after a snapshot.
    const int64_t left = count - done, piece = std::min(kPromptPiece, left - (snapshot && left > 1));
    const bool last = done + piece == count;
    logits =
        process(ids.subspan(done, piece), last ? models::LogitsFor::last : models::LogitsFor::none);
    done += piece;
    if (options.prefill_progress)
      options.prefill_progress(static_cast<double>(done) / static_cast<double>(count));
  }
  timings.prefill_ms = ms_between(start, Clock::now());
  return logits;
}

GenerateResult Generator::generate(std::span<const int32_t> prompt_ids,
                                   const GenerateOptions& options, const StreamCallback& stream) {
  const auto start = Clock::now();
  check(prompt_ids, options);
  const int64_t vocab = model_.vocab_size();
  const int64_t limit = options.max_tokens > 0
                            ? options.max_tokens
                            : room_after(model_, static_cast<int64_t>(prompt_ids.size()));
  text::Sampler sampler(options.sampling, vocab);
  sampler.begin(prompt_ids);
  TextOutput output(tokenizer_, options);
  GenerateResult result;
  result.prompt_ids.assign(prompt_ids.begin(), prompt_ids.end());

  const auto ends = [&](int32_t id) {
    return contains(options.stop_ids, id) ||
           (!options.ignore_eos && tokenizer_ && contains(tokenizer_->end_ids, id));
  };
  Tensor row = prefill(prompt_ids, options, result.timings);
  auto first = Clock::now(), last = first;
  while (result.finish_reason.empty()) {
    if (cancelled(options) || !row.defined()) {
      result.finish_reason = "cancelled";
      break;
    }
    const std::span<const float> logits(row.f32(), static_cast<size_t>(vocab));
    const int32_t id = sampler.sample(logits);
    if (options.logprobs >= 0) {
      const double log_sum = text::log_sum_exp(logits);
      result.chosen_logprobs.push_back({id, logits[id] - log_sum});
      result.best_logprobs.push_back(text::best_logprobs(logits, log_sum, options.logprobs));
    }
    result.ids.push_back(id);
    last = Clock::now();
    if (result.ids.size() == 1) first = last;

    const bool ended = ends(id);
    const std::string piece = ended ? std::string() : output.add(id);
    result.text += piece;
    const bool go_on = !stream || stream({id, piece});
    if (ended || output.stopped()) {
      result.finish_reason = "stop";
    } else if (!go_on) {
      result.finish_reason = "cancelled";
    } else if (static_cast<int64_t>(result.ids.size()) == limit) {
      result.finish_reason = "length";
    } else {
      row = process({&id, 1}, models::LogitsFor::last);
    }
  }
  const std::string rest = output.finish();
  result.text += rest;
  if (stream && !rest.empty()) stream({-1, rest});
  if (output.stopped()) result.finish_reason = "stop";
  result.timings.first_token_ms = ms_between(start, first);
  result.timings.decode_ms = ms_between(first, last);
  result.timings.decoded_tokens = std::max<int64_t>(0, static_cast<int64_t>(result.ids.size()) - 1);
  return result;
}

}  // namespace sumi::generate

#include "generate/beam_search.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "generate/generator.h"
#include "text/logprobs.h"

namespace sumi::generate {

namespace {

struct Beam {
  std::vector<int32_t> ids;
  double log_probability = 0;
  std::shared_ptr<models::DecodeState> state;
  Tensor logits;  // [1, V] after ids
};

// A beam and one more token.
struct Candidate {
  size_t beam;
  int32_t id;
  double log_probability;
};

// The `count` best continuations by one token of any beam, best first; earlier beams and lower ids
// first among equals.
std::vector<Candidate> best_candidates(const std::vector<Beam>& beams, size_t count) {
  std::vector<Candidate> best;
  const auto better = [](const Candidate& a, const Candidate& b) {
    if (a.log_probability != b.log_probability) return a.log_probability > b.log_probability;
    return a.beam != b.beam ? a.beam < b.beam : a.id < b.id;
  };
  for (size_t i = 0; i < beams.size(); ++i) {
    const int64_t vocab = beams[i].logits.numel();
    const std::span<const float> logits(beams[i].logits.f32(), static_cast<size_t>(vocab));
    const double log_sum = text::log_sum_exp(logits);
    const int64_t kept = std::min<int64_t>(vocab, static_cast<int64_t>(count));
    for (const text::TokenLogprob& token : text::best_logprobs(logits, log_sum, kept))
      best.push_back({i, token.id, beams[i].log_probability + token.logprob});
  }
  std::sort(best.begin(), best.end(), better);
  if (best.size() > count) best.resize(count);
  return best;
}

void check(const BeamOptions& options) {
  if (options.beams < 1 || options.beams > 1024)
    fail("beams: expected 1 to 1024, found {}", options.beams);
  if (options.results < 1 || options.results > options.beams)
    fail("beam search results: expected 1 to {}, the number of beams, found {}", options.beams,
         options.results);
  if (options.max_tokens < 1) fail("max tokens: expected 1 or more, found {}", options.max_tokens);
  if (!std::isfinite(options.length_penalty) || std::fabs(options.length_penalty) > 100)
    fail("length penalty: expected -100 to 100, found {}", options.length_penalty);
}

class Search {
 public:
  Search(const NextLogits& next, const BeamOptions& options) : next_(next), options_(options) {}

  std::vector<BeamText> run(std::unique_ptr<models::DecodeState> state,
                            std::span<const int32_t> ids) {
    Beam first;
    first.state = std::move(state);
    first.logits = next_(ids, *first.state);
    beams_.push_back(std::move(first));
    while (!cancelled() && step()) {
    }
    if (finished_.size() > static_cast<size_t>(options_.results))
      finished_.resize(static_cast<size_t>(options_.results));
    return std::move(finished_);
  }

 private:
  bool cancelled() const {
    return options_.cancel && options_.cancel->load(std::memory_order_relaxed);
  }
  bool full() const { return finished_.size() == static_cast<size_t>(options_.beams); }
  double score(double log_probability, int64_t length) const {
    return log_probability / std::pow(static_cast<double>(length), options_.length_penalty);
  }

  // Makes every beam one token longer. False when the search is over.
  bool step() {
    const size_t width = static_cast<size_t>(options_.beams);
    const int64_t length = static_cast<int64_t>(beams_[0].ids.size()) + 1;
    const bool last = length == options_.max_tokens;
    // Enough that `width` of them go on, whatever number of them end.
    const std::vector<Candidate> candidates =
        best_candidates(beams_, std::max<size_t>(2, 1 + options_.end_ids.size()) * width);
    std::vector<Candidate> open;
    std::vector<BeamText> ended;
    for (size_t i = 0; i < candidates.size(); ++i) {
      const Candidate& candidate = candidates[i];
      const bool ends = std::find(options_.end_ids.begin(), options_.end_ids.end(), candidate.id) !=
                        options_.end_ids.end();
      if (!ends && !last) {
        if (open.size() < width) open.push_back(candidate);
      } else if (i < width && !(options_.early_stopping == EarlyStopping::yes && full())) {
        ended.push_back(
            {beams_[candidate.beam].ids, score(candidate.log_probability, length), ends});
        ended.back().ids.push_back(candidate.id);
      }
    }
    finished_.insert(finished_.end(), ended.begin(), ended.end());
    std::stable_sort(finished_.begin(), finished_.end(),
                     [](const BeamText& a, const BeamText& b) { return a.score > b.score; });
    if (finished_.size() > width) finished_.resize(width);
    if (open.empty() || !improvable(open[0].log_probability, length)) return false;
    if (options_.early_stopping == EarlyStopping::yes && full()) return false;
    follow(open);
    return true;
  }

  bool improvable(double best_open, int64_t length) const {
    if (!full()) return true;
    const bool to_the_end =
        options_.early_stopping == EarlyStopping::never && options_.length_penalty > 0;
    return score(best_open, to_the_end ? options_.max_tokens : length) > finished_.back().score;
  }

  void follow(const std::vector<Candidate>& open) {
    std::vector<size_t> uses(beams_.size(), 0);
    for (const Candidate& candidate : open) ++uses[candidate.beam];
    std::vector<Beam> next;
    for (const Candidate& candidate : open) {
      const Beam& from = beams_[candidate.beam];
      Beam beam;
      beam.ids = from.ids;
      beam.ids.push_back(candidate.id);
      beam.log_probability = candidate.log_probability;
      // The last beam to use a state takes it over.
      beam.state = --uses[candidate.beam] > 0 ? from.state->clone() : from.state;
      next.push_back(std::move(beam));
    }
    beams_ = std::move(next);
    for (Beam& beam : beams_) beam.logits = next_({&beam.ids.back(), 1}, *beam.state);
  }

  const NextLogits& next_;
  const BeamOptions& options_;
  std::vector<Beam> beams_;         // best first
  std::vector<BeamText> finished_;  // best first, at most options_.beams
};

}  // namespace

std::vector<BeamText> beam_search(const NextLogits& next,
                                  std::unique_ptr<models::DecodeState> state,
                                  std::span<const int32_t> ids, const BeamOptions& options) {
  check(options);
  if (ids.empty()) fail("prompt: no tokens; the model needs at least one");
  return Search(next, options).run(std::move(state), ids);
}

std::vector<BeamText> beam_search(const models::LanguageModel& model,
                                  std::span<const int32_t> prompt_ids, const BeamOptions& options) {
  check(options);
  const int64_t length = static_cast<int64_t>(prompt_ids.size()), vocab = model.vocab_size();
  if (length == 0) fail("prompt: no tokens; the model needs at least one");
  for (const int32_t id : prompt_ids)
    if (id < 0 || id >= vocab) fail("prompt: expected ids of 0 to {}, found {}", vocab - 1, id);
  if (options.max_tokens > room_after(model, length))
    fail("max tokens: a prompt of {} tokens leaves room for {} in the context of {}, found {}",
         length, room_after(model, length), model.max_positions(), options.max_tokens);
  models::PromptState prompt = models::read_prompt(model, prompt_ids);
  return beam_search(
      [&model](std::span<const int32_t> ids, models::DecodeState& state) {
        return model.forward(ids, state, models::LogitsFor::last);
      },
      std::move(prompt.state), prompt.rest, options);
}

}  // namespace sumi::generate

#include "evaluate/perplexity.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "text/logprobs.h"

namespace sumi::evaluate {

namespace {

// -ln p(targets[i]) under row i of logits [n, V], into losses[i].
void row_losses(const Tensor& logits, std::span<const int32_t> targets, double* losses) {
  const int64_t rows = static_cast<int64_t>(targets.size()), vocab = logits.size(1);
  std::vector<char> bad(rows, 0);  // a parallel body must not throw
  base::parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::span<const float> row(logits.f32() + i * vocab, static_cast<size_t>(vocab));
      try {
        losses[i] = text::log_sum_exp(row) - row[targets[i]];
      } catch (const Error&) {
        bad[i] = 1;
      }
      if (!std::isfinite(losses[i])) bad[i] = 1;
    }
  });
  if (std::find(bad.begin(), bad.end(), 1) != bad.end())
    fail("perplexity: the model's logits are not finite");
}

}  // namespace

PerplexityResult perplexity(const models::LanguageModel& model, std::span<const int32_t> ids,
                            const PerplexityOptions& options) {
  const int64_t count = static_cast<int64_t>(ids.size()), vocab = model.vocab_size();
  const int64_t context = options.context == 0 ? model.max_positions() : options.context;
  if (context < 2 || context > model.max_positions())
    fail("context: expected 2 to {}, found {}", model.max_positions(), context);
  if (model.has_encoder())
    fail(
        "perplexity: an encoder-decoder model judges a text only beside another one; give a "
        "decoder-only model");
  if (count < 2) fail("perplexity: expected at least 2 tokens, found {}", count);
  for (const int32_t id : ids)
    if (id < 0 || id >= vocab) fail("perplexity: expected ids of 0 to {}, found {}", vocab - 1, id);

  // Rows of logits at a time: at most 64 MiB of them.
  const int64_t piece_limit = std::clamp<int64_t>((int64_t{16} << 20) / vocab, 1, 512);
  PerplexityResult result;
  double sum = 0;
  std::vector<double> losses(static_cast<size_t>(piece_limit));
  for (int64_t begin = 0; begin + 1 < count; begin += context) {
    const int64_t end = std::min(count, begin + context);
    if (end - begin < 2) break;
    ++result.windows;
    const std::unique_ptr<models::DecodeState> state = model.new_state();
    for (int64_t at = begin; at + 1 < end;) {
      const int64_t piece = std::min(piece_limit, end - 1 - at);
      const Tensor logits = model.forward(ids.subspan(at, piece), *state, models::LogitsFor::all);
      row_losses(logits, ids.subspan(at + 1, piece), losses.data());
      for (int64_t i = 0; i < piece; ++i) sum += losses[static_cast<size_t>(i)];
      result.tokens += piece;
      at += piece;
      if (options.progress) options.progress(static_cast<double>(at) / static_cast<double>(count));
    }
  }
  result.nll = sum / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.nll);
  return result;
}

}  // namespace sumi::evaluate

#include "text/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace sumi::text {

double log_sum_exp(std::span<const float> logits) {
  double largest = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] <= std::numeric_limits<float>::max()))
      fail("the logit of token {} is {}", i, logits[i]);
    largest = std::max<double>(largest, logits[i]);
  }
  if (std::isinf(largest)) fail("no token has a finite logit");
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

std::vector<TokenLogprob> best_logprobs(std::span<const float> logits, double log_sum,
                                        int64_t count) {
  const auto better = [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob != b.logprob ? a.logprob > b.logprob : a.id < b.id;
  };
  std::vector<TokenLogprob> best;  // a heap whose front is the least of them
  if (count <= 0) return best;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (static_cast<int64_t>(best.size()) >= count) {
      if (!(logits[i] > best.front().logprob)) continue;
      std::pop_heap(best.begin(), best.end(), better);
      best.pop_back();
    }
    best.push_back({static_cast<int32_t>(i), logits[i]});
    std::push_heap(best.begin(), best.end(), better);
  }
  std::sort(best.begin(), best.end(), better);
  for (TokenLogprob& token : best) token.logprob -= log_sum;
  return best;
}

}  // namespace sumi::text

// Natural logarithms of the probabilities that logits stand for.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sumi::text {

struct TokenLogprob {
  int32_t id;
  double logprob;
};

// ln(sum of exp(logit)), in double. Throws Error if a logit is NaN or +infinity, or none is finite.
double log_sum_exp(std::span<const float> logits);

// The `count` most likely tokens (all if there are fewer), most likely first, of equal ones the
// lower id; log_sum is log_sum_exp(logits).
std::vector<TokenLogprob> best_logprobs(std::span<const float> logits, double log_sum,
                                        int64_t count);

}  // namespace sumi::text

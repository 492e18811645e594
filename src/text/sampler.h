// Chooses the next token from a row of logits.
//
// Order of the transforms, each on what the one before it left (as in transformers):
//   1. repetition, frequency and presence penalties, then logit bias;
//   2. temperature (0: the first largest logit is taken and the rest is skipped);
//   3. top-k, top-p, min-p, typical-p;
//   4. one draw from what is left, renormalised.
// The draw uses mt19937_64 (its sequence is fixed by the C++ standard), 53 bits as a uniform number
// in [0, 1) and an exponential of our own: the same logits and seed give the same token on every
// machine.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

namespace sumi::text {

struct SamplerOptions {
  // Logits are divided by it: below 1 is safer, above 1 wilder. 0 always takes the most likely
  // token.
  double temperature = 1;
  // Only the k most likely tokens stay (of equal ones the lower ids). 0: off.
  int64_t top_k = 0;
  // Only the smallest set of most likely tokens whose probabilities reach this sum stays. 1: off.
  double top_p = 1;
  // Only tokens at least this many times as likely as the most likely one stay. 0: off.
  double min_p = 0;
  // Only the smallest set with this sum of those whose information -ln p is nearest to the entropy
  // stays (Meister et al., arXiv:2202.00666). 1: off.
  double typical_p = 1;
  // Positive logits of tokens in the prompt or the answer are divided by it, negative ones
  // multiplied (CTRL, arXiv:1909.05858, as in transformers). 1: off.
  double repetition_penalty = 1;
  // Subtracted from a token's logit once for each time it is in the answer. 0: off.
  double frequency_penalty = 0;
  // Subtracted once from the logit of each token that is in the answer. 0: off.
  double presence_penalty = 0;
  // (id, bias): added to that token's logit; -infinity bans the token, later biases of an id add
  // up.
  std::vector<std::pair<int32_t, float>> logit_bias;
  // Starts the random sequence.
  uint64_t seed = 0;
};

// Throws Error naming the option that is out of range or not finite, or a bias's id outside [0,
// vocab_size).
void check_sampler_options(const SamplerOptions& options, int64_t vocab_size);

class Sampler {
 public:
  // Throws as check_sampler_options.
  Sampler(const SamplerOptions& options, int64_t vocab_size);

  // Starts a new text after this prompt: restarts the random sequence and the counts of the
  // penalties. Throws Error on an id outside the vocabulary.
  void begin(std::span<const int32_t> prompt_ids);

  // The next token, given the logits [vocab_size] of the last position; remembers it for the
  // penalties. Throws Error if a logit is NaN or +infinity, or all are -infinity (a logit of
  // -infinity is a banned token).
  int32_t sample(std::span<const float> logits);

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  const float* adjust(std::span<const float> logits);
  int32_t draw(const float* logits, float largest);
  void keep_top_k(const float* logits);
  void weigh(float largest);
  void keep_logits_from(double least);
  void keep_weights_from(double least);
  void keep_mass(double target);
  void keep_top_p();
  void keep_typical();
  double total_weight() const;
  float largest_logit() const;

  SamplerOptions options_;
  int64_t vocab_size_;
  bool adjusts_;
  std::mt19937_64 random_;
  std::vector<int32_t> seen_ids_;       // distinct, of prompt and answer
  std::vector<bool> seen_;              // [vocab_size]
  std::vector<int32_t> answer_counts_;  // [vocab_size]
  std::vector<float> adjusted_;         // [vocab_size]
  std::vector<Candidate> candidates_;   // what is left, by rising id
  std::vector<double> weights_;         // of candidates_: exp((logit - largest) / temperature)
  std::vector<double> keys_;
};

}  // namespace sumi::text

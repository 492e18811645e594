#include "text/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT \
    OFF  // a fused multiply-add rounds otherwise than two steps: not on every machine
#endif

namespace sumi::text {

namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// exp(x) for x <= 0, relative error below 2e-11, from additions and multiplications alone:
// libraries differ in the last bit, this does not. Below -690 the result is that of -690, about
// 1e-300.
double exp_of_negative(double x) {
  constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;
  constexpr double kRound = 0x1.8p52;  // adding and subtracting it rounds to an integer
  const double scaled = std::max(x, -690.0) * kLog2E;
  const double shifted = scaled + kRound;  // its lowest bits are the integer
  const double whole = shifted - kRound;
  const double t = (scaled - whole) * kLn2;  // |t| <= 0.3466
  double sum = 1.0 / 362880;                 // Taylor series to t^9 / 9!
  sum = sum * t + 1.0 / 40320;
  sum = sum * t + 1.0 / 5040;
  sum = sum * t + 1.0 / 720;
  sum = sum * t + 1.0 / 120;
  sum = sum * t + 1.0 / 24;
  sum = sum * t + 1.0 / 6;
  sum = sum * t + 0.5;
  sum = sum * t + 1.0;
  sum = sum * t + 1.0;
  return sum * std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + 1023) << 52);  // * 2^whole
}

void check_range(const char* option, double value, double low, double high) {
  if (!(value >= low && value <= high))
    fail("{}: expected {} to {}, found {}", option, low, high, value);
}

// The first largest logit; throws on NaN, +infinity, or nothing but -infinity.
int64_t argmax(const float* logits, int64_t count) {
  float best = kMinusInfinity;
  int64_t at = -1;
  for (int64_t i = 0; i < count; ++i) {
    if (!(logits[i] <= best)) {  // larger, or NaN
      if (!(logits[i] <= std::numeric_limits<float>::max()))
        fail("sampling: the logit of token {} is {}", i, logits[i]);
      best = logits[i];
      at = i;
    }
  }
  if (at < 0) fail("sampling: every token is banned");
  return at;
}

}  // namespace

void check_sampler_options(const SamplerOptions& options, int64_t vocab_size) {
  if (vocab_size < 1) fail("sampling: vocabulary of {} tokens", vocab_size);
  check_range("temperature", options.temperature, 0, 1000);
  if (options.temperature > 0 && options.temperature < 1e-3)
    fail("temperature: expected 0 or 0.001 to 1000, found {}", options.temperature);
  if (options.top_k < 0) fail("top-k: expected 0 or more, found {}", options.top_k);
  check_range("top-p", options.top_p, 0, 1);
  check_range("min-p", options.min_p, 0, 1);
  check_range("typical-p", options.typical_p, 0, 1);
  check_range("repetition penalty", options.repetition_penalty, 0.01, 100);
  check_range("frequency penalty", options.frequency_penalty, -100, 100);
  check_range("presence penalty", options.presence_penalty, -100, 100);
  for (const auto& [id, bias] : options.logit_bias) {
    if (id < 0 || id >= vocab_size)
      fail("logit bias: expected an id of 0 to {}, found {}", vocab_size - 1, id);
    if (!(bias <= std::numeric_limits<float>::max()))
      fail("logit bias of token {}: expected a finite number or -inf, found {}", id, bias);
  }
}

Sampler::Sampler(const SamplerOptions& options, int64_t vocab_size)
    : options_(options), vocab_size_(vocab_size) {
  check_sampler_options(options, vocab_size);
  adjusts_ = options.repetition_penalty != 1 || options.frequency_penalty != 0 ||
             options.presence_penalty != 0 || !options.logit_bias.empty();
  seen_.resize(vocab_size);
  answer_counts_.resize(vocab_size);
  begin({});
}

void Sampler::begin(std::span<const int32_t> prompt_ids) {
  random_.seed(options_.seed);
  for (const int32_t id : seen_ids_) {
    seen_[id] = false;
    answer_counts_[id] = 0;
  }
  seen_ids_.clear();
  for (const int32_t id : prompt_ids) {
    if (id < 0 || id >= vocab_size_)
      fail("prompt: expected ids of 0 to {}, found {}", vocab_size_ - 1, id);
    if (!seen_[id]) seen_ids_.push_back(id);
    seen_[id] = true;
  }
}

int32_t Sampler::sample(std::span<const float> logits) {
  if (static_cast<int64_t>(logits.size()) != vocab_size_)
    fail("sampling: expected {} logits, found {}", vocab_size_, logits.size());
  const float* values = adjusts_ ? adjust(logits) : logits.data();
  const int64_t best = argmax(values, vocab_size_);
  const int32_t id = options_.temperature == 0 || options_.top_k == 1 ? static_cast<int32_t>(best)
                                                                      : draw(values, values[best]);
  if (!seen_[id]) seen_ids_.push_back(id);
  seen_[id] = true;
  ++answer_counts_[id];
  return id;
}

const float* Sampler::adjust(std::span<const float> logits) {
  adjusted_.assign(logits.begin(), logits.end());
  const float repetition = static_cast<float>(options_.repetition_penalty);
  for (const int32_t id : seen_ids_) {
    float& value = adjusted_[id];
    value = value < 0 ? value * repetition : value / repetition;
    if (answer_counts_[id] > 0)
      value -= static_cast<float>(options_.frequency_penalty * answer_counts_[id] +
                                  options_.presence_penalty);
  }
  for (const auto& [id, bias] : options_.logit_bias) adjusted_[id] += bias;
  return adjusted_.data();
}

int32_t Sampler::draw(const float* logits, float largest) {
  if (options_.top_k > 0 && options_.top_k < vocab_size_) {
    keep_top_k(logits);
  } else {
    candidates_.resize(vocab_size_);
    for (int64_t i = 0; i < vocab_size_; ++i) candidates_[i] = {logits[i], static_cast<int32_t>(i)};
    // Alone, min-p can drop most before their exponentials are taken; the factor leaves the last
    // word to the exact comparison below.
    if (options_.min_p > 0 && options_.top_p == 1)
      keep_logits_from(largest + options_.temperature * std::log(options_.min_p * 0.999));
  }
  weigh(largest);
  if (options_.top_p < 1) keep_top_p();
  // The largest logit weighs exp(0) = 1 to within rounding, and top-p never drops it.
  if (options_.min_p > 0) keep_weights_from(options_.min_p * exp_of_negative(0));
  if (options_.typical_p < 1) keep_typical();

  const double uniform = static_cast<double>(random_() >> 11) * 0x1p-53;
  const double target = uniform * total_weight();
  double sum = 0;
  size_t last = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (weights_[i] == 0) continue;  // a banned token
    sum += weights_[i];
    last = i;
    if (sum > target) break;
  }
  return candidates_[last].id;
}

// Chooses without sorting the vocabulary: a heap of k for small k, else a selection.
void Sampler::keep_top_k(const float* logits) {
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const size_t k = static_cast<size_t>(options_.top_k);
  candidates_.clear();
  if (k <= 512) {
    for (int64_t i = 0; i < vocab_size_; ++i) {
      if (candidates_.size() < k) {
        candidates_.push_back({logits[i], static_cast<int32_t>(i)});
        std::push_heap(candidates_.begin(), candidates_.end(), better);
      } else if (logits[i] > candidates_.front().logit) {  // equal ones have a lower id: they stay
        std::pop_heap(candidates_.begin(), candidates_.end(), better);
        candidates_.back() = {logits[i], static_cast<int32_t>(i)};
        std::push_heap(candidates_.begin(), candidates_.end(), better);
      }
    }
  } else {
    for (int64_t i = 0; i < vocab_size_; ++i)
      candidates_.push_back({logits[i], static_cast<int32_t>(i)});
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(k),
                     candidates_.end(), better);
    candidates_.resize(k);
  }
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
}

void Sampler::weigh(float largest) {
  constexpr size_t kBlock = 8;  // a constant count lets the compiler use vectors
  const double scale = 1 / options_.temperature, top = largest;
  const size_t count = candidates_.size();
  weights_.resize((count + kBlock - 1) / kBlock * kBlock);
  keys_.resize(weights_.size());
  for (size_t i = 0; i < count; ++i)
    keys_[i] = (static_cast<double>(candidates_[i].logit) - top) * scale;
  std::fill(keys_.begin() + static_cast<int64_t>(count), keys_.end(), 0);
  for (size_t block = 0; block < weights_.size(); block += kBlock) {
    const double* x = keys_.data() + block;
    double* weight = weights_.data() + block;
    for (size_t i = 0; i < kBlock; ++i) weight[i] = exp_of_negative(x[i]);
  }
  weights_.resize(count);
  for (size_t i = 0; i < count; ++i)
    if (candidates_[i].logit == kMinusInfinity) weights_[i] = 0;  // banned, not just unlikely
}

double Sampler::total_weight() const {
  double sums[4] = {};
  size_t i = 0;
  for (; i + 4 <= weights_.size(); i += 4)
    for (size_t lane = 0; lane < 4; ++lane) sums[lane] += weights_[i + lane];
  for (; i < weights_.size(); ++i) sums[0] += weights_[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

float Sampler::largest_logit() const {
  float largest = kMinusInfinity;
  for (const Candidate& candidate : candidates_) largest = std::max(largest, candidate.logit);
  return largest;
}

void Sampler::keep_logits_from(double least) {
  size_t kept = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    candidates_[kept] = candidates_[i];
    kept += candidates_[i].logit >= least;
  }
  candidates_.resize(kept);
}

void Sampler::keep_weights_from(double least) {
  size_t kept = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    candidates_[kept] = candidates_[i];
    weights_[kept] = weights_[i];
    kept += weights_[i] >= least;
  }
  candidates_.resize(kept);
  weights_.resize(kept);
}

// Keeps the fewest candidates, least keys_ first (of equal keys the lower ids), whose weights reach
// `target`; at least one. Weights are summed in bins by key, and only the bin in which the sum is
// reached is sorted.
void Sampler::keep_mass(double target) {
  constexpr int kBins = 1024;
  constexpr double kWidest =
      64;  // keys are differences of logarithms: beyond it weights hardly count
  double least = std::numeric_limits<double>::infinity(), most = 0;
  for (const double key : keys_) {
    least = std::min(least, key);
    if (key < kWidest) most = std::max(most, key);
  }
  const double per_key = most > least ? (kBins - 1) / (most - least) : 0;
  const auto bin_of = [&](double key) {
    return static_cast<int>((std::min(key, most) - least) * per_key);
  };
  std::array<double, kBins> sums{};
  for (size_t i = 0; i < keys_.size(); ++i) sums[bin_of(keys_[i])] += weights_[i];

  double before = 0;
  int edge = 0;
  while (edge < kBins - 1 && before + sums[edge] < target) before += sums[edge++];

  std::vector<size_t> order;  // of the candidates in bin `edge`
  for (size_t i = 0; i < keys_.size(); ++i)
    if (bin_of(keys_[i]) == edge) order.push_back(i);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return keys_[a] != keys_[b] ? keys_[a] < keys_[b] : a < b; });
  size_t taken = 0;
  while (taken < order.size() && (before < target || (edge == 0 && taken == 0)))
    before += weights_[order[taken++]];
  std::sort(order.begin(), order.begin() + static_cast<int64_t>(taken));

  size_t kept = 0, next = 0;
  for (size_t i = 0; i < keys_.size(); ++i) {
    const int bin = bin_of(keys_[i]);
    const bool take = bin < edge || (bin == edge && next < taken && order[next] == i);
    if (!take) continue;
    if (bin == edge) ++next;
    candidates_[kept] = candidates_[i];
    weights_[kept++] = weights_[i];
  }
  candidates_.resize(kept);
  weights_.resize(kept);
}

void Sampler::keep_top_p() {
  // Candidates below (1 - p) / n of the total weigh less than 1 - p of it together, so those above
  // reach p without them: they can go at once, which in most texts leaves few.
  const double total = total_weight();
  keep_weights_from((1 - options_.top_p) * total / static_cast<double>(candidates_.size()));
  const double scale = 1 / options_.temperature;
  const float largest = largest_logit();
  keys_.resize(candidates_.size());
  for (size_t i = 0; i < candidates_.size(); ++i)
    keys_[i] = (static_cast<double>(largest) - candidates_[i].logit) * scale;
  keep_mass(options_.top_p * total);
}

void Sampler::keep_typical() {
  // Weights are exp(y) with y = (logit - largest) / temperature, so -ln p = ln(total) - y;
  // ln(total) falls out of |-ln p - entropy|, since the entropy is ln(total) - sum(p y).
  const double scale = 1 / options_.temperature, total = total_weight();
  const float largest = largest_logit();
  keys_.resize(candidates_.size());
  double mean = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    keys_[i] = (static_cast<double>(candidates_[i].logit) - largest) * scale;
    if (weights_[i] > 0) mean += weights_[i] / total * keys_[i];
  }
  for (double& key : keys_) key = std::abs(key - mean);
  keep_mass(options_.typical_p * total);
}

}  // namespace sumi::text

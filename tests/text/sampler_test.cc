#include "text/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"
#include "text/logprobs.h"

namespace sumi::text {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> random_logits(size_t count, uint64_t seed, double spread) {
  std::mt19937_64 random(seed);
  std::vector<float> logits(count);
  for (float& logit : logits) {  // sum of uniforms: bell-shaped, no std:: distribution
    double sum = 0;
    for (int i = 0; i < 6; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53 - 0.5;
    logit = static_cast<float>(sum * spread);
  }
  return logits;
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p(logits.size());
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] = std::exp((logits[i] - largest) / temperature);
  for (double& value : p) value /= sum;
  return p;
}

// The plain way: sort everything by key and take until the mass is reached. Probability 0 means
// dropped.
std::vector<double> keep_smallest(const std::vector<double>& p, const std::vector<double>& key,
                                  double mass) {
  std::vector<size_t> order;
  for (size_t i = 0; i < p.size(); ++i)
    if (p[i] > 0) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key[a] < key[b]; });
  std::vector<double> kept(p.size(), 0.0);
  double sum = 0, total = 0;
  for (const size_t i : order) {
    if (sum >= mass) break;
    kept[i] = p[i];
    sum += p[i];
  }
  for (const double value : kept) total += value;
  for (double& value : kept) value /= total;
  return kept;
}

std::vector<double> expected_distribution(const std::vector<float>& logits,
                                          const SamplerOptions& options) {
  std::vector<double> p = softmax(logits, options.temperature);
  std::vector<double> key(p.size());
  if (options.top_k > 0) {
    std::vector<size_t> order(p.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    double total = 0;
    for (size_t rank = 0; rank < order.size(); ++rank) {
      if (rank >= static_cast<size_t>(options.top_k)) p[order[rank]] = 0;
      total += p[order[rank]];
    }
    for (double& value : p) value /= total;
  }
  if (options.top_p < 1) {
    for (size_t i = 0; i < p.size(); ++i) key[i] = -p[i];
    p = keep_smallest(p, key, options.top_p);
  }
  if (options.min_p > 0) {
    const double largest = *std::max_element(p.begin(), p.end());
    double total = 0;
    for (double& value : p) total += value = value < options.min_p * largest ? 0 : value;
    for (double& value : p) value /= total;
  }
  if (options.typical_p < 1) {
    double entropy = 0;
    for (const double value : p)
      if (value > 0) entropy -= value * std::log(value);
    for (size_t i = 0; i < p.size(); ++i) key[i] = std::abs(-std::log(p[i]) - entropy);
    p = keep_smallest(p, key, options.typical_p);
  }
  return p;
}

// Draws often and compares with the distribution got the plain way: nothing dropped may come, every
// likely token must, and the counts must be near (chi-square with a wide margin, the seed is
// fixed).
void expect_distribution(const std::vector<float>& logits, SamplerOptions options) {
  options.seed = 7;
  Sampler sampler(options, static_cast<int64_t>(logits.size()));
  sampler.begin({});
  const std::vector<double> p = expected_distribution(logits, options);
  const int draws = logits.size() > 1000 ? 3000 : 20000;
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) ++counts[sampler.sample(logits)];
  double chi = 0;
  int cells = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " is outside the kept set";
    } else if (p[i] * draws >= 5) {
      chi += (counts[i] - p[i] * draws) * (counts[i] - p[i] * draws) / (p[i] * draws);
      ++cells;
    }
  }
  EXPECT_LT(chi, cells + 5 * std::sqrt(2.0 * cells) + 5);
}

SamplerOptions with(double temperature, int64_t top_k, double top_p, double min_p,
                    double typical_p) {
  SamplerOptions options;
  options.temperature = temperature;
  options.top_k = top_k;
  options.top_p = top_p;
  options.min_p = min_p;
  options.typical_p = typical_p;
  return options;
}

TEST(Sampler, GreedyTakesTheFirstLargest) {
  Sampler sampler(with(0, 0, 1, 0, 1), 5);
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 2, 3, -1}), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{-kInf, -5, -kInf, -5, -9}), 1);
}

TEST(Sampler, DrawsFromTheExpectedDistribution) {
  const std::vector<float> logits = random_logits(40, 3, 4);
  expect_distribution(logits, with(1, 0, 1, 0, 1));
  expect_distribution(logits, with(0.6, 0, 1, 0, 1));
  expect_distribution(logits, with(1.7, 7, 1, 0, 1));
  expect_distribution(logits, with(1, 0, 0.8, 0, 1));
  expect_distribution(logits, with(1, 0, 1, 0.2, 1));
  expect_distribution(logits, with(1, 0, 1, 0, 0.7));
  expect_distribution(logits, with(0.9, 20, 0.9, 0.05, 0.9));
}

TEST(Sampler, KeptSetsAgreeWithSortingEverything) {
  for (const double spread : {0.5, 4.0, 12.0}) {
    const std::vector<float> logits = random_logits(3000, 11, spread);
    expect_distribution(logits, with(1, 0, 0.95, 0, 1));
    expect_distribution(logits, with(0.7, 0, 0.5, 0, 1));
    expect_distribution(logits, with(1, 0, 1, 0, 0.3));
    expect_distribution(logits, with(1, 600, 1, 0, 1));
    expect_distribution(logits, with(1, 3000, 0.99, 0, 0.9));
  }
}

TEST(Sampler, TiesGoToTheLowerIds) {
  const std::vector<float> logits(100, 1.5f);
  std::set<int32_t> drawn;
  Sampler top_k(with(1, 3, 1, 0, 1), 100);
  for (int i = 0; i < 500; ++i) drawn.insert(top_k.sample(logits));
  EXPECT_EQ(drawn, (std::set<int32_t>{0, 1, 2}));
  drawn.clear();
  Sampler top_p(with(1, 0, 0.035, 0, 1), 100);  // 0.035 needs four of a hundred
  for (int i = 0; i < 500; ++i) drawn.insert(top_p.sample(logits));
  EXPECT_EQ(drawn, (std::set<int32_t>{0, 1, 2, 3}));
}

TEST(Sampler, ZeroTopPKeepsOne) {
  Sampler sampler(with(1, 0, 0, 0, 1), 4);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(sampler.sample(std::vector<float>{1, 1.01f, 1, 1}), 1);
}

TEST(Sampler, SameSeedSameTokensOnEveryMachine) {
  const std::vector<float> logits = random_logits(1000, 5, 4);
  SamplerOptions options = with(0.8, 0, 0.9, 0, 1);
  options.seed = 42;
  Sampler a(options, 1000), b(options, 1000);
  std::vector<int32_t> first, second, again;
  for (int i = 0; i < 12; ++i) first.push_back(a.sample(logits));
  for (int i = 0; i < 12; ++i) second.push_back(b.sample(logits));
  a.begin({});
  for (int i = 0; i < 12; ++i) again.push_back(a.sample(logits));
  EXPECT_EQ(first, second);
  EXPECT_EQ(first, again);
  options.seed = 43;
  Sampler c(options, 1000);
  std::vector<int32_t> other;
  for (int i = 0; i < 12; ++i) other.push_back(c.sample(logits));
  EXPECT_NE(first, other);
  // 10000th output of mt19937_64 with its default seed, as the C++ standard states it.
  std::mt19937_64 engine;
  engine.discard(9999);
  EXPECT_EQ(engine(), 9981545732273789042ull);
}

TEST(Sampler, RepetitionPenaltyDividesAndMultiplies) {
  SamplerOptions options = with(0, 0, 1, 0, 1);
  options.repetition_penalty = 2;
  Sampler sampler(options, 3);
  sampler.begin(std::vector<int32_t>{0, 0});                     // twice in the prompt counts once
  EXPECT_EQ(sampler.sample(std::vector<float>{4, 1.9f, 1}), 0);  // 2, 1.9, 1
  sampler.begin(std::vector<int32_t>{0});
  EXPECT_EQ(sampler.sample(std::vector<float>{4, 2.1f, 1}), 1);  // 2, 2.1, 1
  sampler.begin(std::vector<int32_t>{0});
  EXPECT_EQ(sampler.sample(std::vector<float>{-1, -1.9f, -3}), 1);  // -2, -1.9, -3
}

TEST(Sampler, FrequencyAndPresenceCountTheAnswerOnly) {
  SamplerOptions options = with(0, 0, 1, 0, 1);
  options.frequency_penalty = 1;
  Sampler frequency(options, 2);
  frequency.begin(std::vector<int32_t>{0, 0, 0});
  const std::vector<float> logits = {2.5f, 0};
  for (const int32_t expected : {0, 0, 0, 1, 0}) EXPECT_EQ(frequency.sample(logits), expected);
  options.frequency_penalty = 0;
  options.presence_penalty = 3;
  Sampler presence(options, 2);
  presence.begin(std::vector<int32_t>{0});
  for (const int32_t expected : {0, 1, 0, 0}) EXPECT_EQ(presence.sample(logits), expected);
}

TEST(Sampler, LogitBiasAddsAndBans) {
  SamplerOptions options = with(0, 0, 1, 0, 1);
  options.logit_bias = {{1, 2.0f}, {1, 2.0f}, {2, -kInf}};
  Sampler sampler(options, 3);
  EXPECT_EQ(sampler.sample(std::vector<float>{3, 0, 100}), 1);
  options = with(1, 0, 1, 0, 1);
  options.logit_bias = {{0, -kInf}, {2, -kInf}};
  Sampler random(options, 3);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.sample(std::vector<float>{9, -9, 9}), 1);
}

TEST(Sampler, BadLogitsAreErrors) {
  for (const double temperature : {0.0, 1.0}) {
    Sampler sampler(with(temperature, 0, 1, 0, 1), 3);
    EXPECT_THROW(sampler.sample(std::vector<float>{1, NAN, 0}), Error);
    EXPECT_THROW(sampler.sample(std::vector<float>{NAN, 1, 0}), Error);
    EXPECT_THROW(sampler.sample(std::vector<float>{1, 0, kInf}), Error);
    EXPECT_THROW(sampler.sample(std::vector<float>{-kInf, -kInf, -kInf}), Error);
    EXPECT_THROW(sampler.sample(std::vector<float>{1, 2}), Error);
  }
}

TEST(Sampler, BadOptionsAreErrors) {
  const auto refuse = [](auto change) {
    SamplerOptions options;
    change(options);
    EXPECT_THROW(Sampler(options, 10), Error);
  };
  refuse([](SamplerOptions& o) { o.temperature = -1; });
  refuse([](SamplerOptions& o) { o.temperature = NAN; });
  refuse([](SamplerOptions& o) { o.temperature = 1e-9; });
  refuse([](SamplerOptions& o) { o.top_k = -1; });
  refuse([](SamplerOptions& o) { o.top_p = 1.5; });
  refuse([](SamplerOptions& o) { o.min_p = -0.1; });
  refuse([](SamplerOptions& o) { o.typical_p = NAN; });
  refuse([](SamplerOptions& o) { o.repetition_penalty = 0; });
  refuse([](SamplerOptions& o) { o.frequency_penalty = kInf; });
  refuse([](SamplerOptions& o) { o.logit_bias = {{10, 1.0f}}; });
  refuse([](SamplerOptions& o) { o.logit_bias = {{-1, 1.0f}}; });
  refuse([](SamplerOptions& o) { o.logit_bias = {{1, NAN}}; });
  EXPECT_THROW(Sampler(SamplerOptions{}, 10).begin(std::vector<int32_t>{10}), Error);
}

TEST(Sampler, IsFastOnALargeVocabulary) {
  const std::vector<float> logits = random_logits(50000, 9, 5);
  for (const SamplerOptions& options :
       {with(0, 0, 1, 0, 1), with(0.7, 50, 0.95, 0, 1), with(1, 0, 0.95, 0, 1),
        with(1, 0, 1, 0.05, 1), with(1, 0, 1, 0, 0.9)}) {
    Sampler sampler(options, 50000);
    double best = 1e9;
    for (int i = 0; i < 20; ++i) {
      const auto start = std::chrono::steady_clock::now();
      sampler.sample(logits);
      best = std::min(
          best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
                    .count());
    }
    // Far above what an optimised build needs: catches sorting everything, not a slow machine.
    EXPECT_LT(best, 20);
    RecordProperty("ms_per_token", std::to_string(best));
    if (std::getenv("SUMI_TEST_TIMES")) printf("%f ms\n", best);
  }
}

TEST(Logprobs, AreOfTheRawDistribution) {
  const std::vector<float> logits = {1, 3, 2, 3, -kInf};
  const double log_sum = log_sum_exp(logits);
  EXPECT_NEAR(log_sum, std::log(std::exp(1.0) + 2 * std::exp(3.0) + std::exp(2.0)), 1e-12);
  const std::vector<TokenLogprob> best = best_logprobs(logits, log_sum, 3);
  ASSERT_EQ(best.size(), 3u);
  EXPECT_EQ(best[0].id, 1);
  EXPECT_EQ(best[1].id, 3);
  EXPECT_EQ(best[2].id, 2);
  EXPECT_NEAR(best[0].logprob, 3 - log_sum, 1e-12);
  EXPECT_EQ(best_logprobs(logits, log_sum, 99).size(), 5u);
  EXPECT_THROW(log_sum_exp(std::vector<float>{NAN}), Error);
  EXPECT_THROW(log_sum_exp(std::vector<float>{-kInf}), Error);
}

}  // namespace
}  // namespace sumi::text

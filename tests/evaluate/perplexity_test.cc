#include "evaluate/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "generate/fake_model.h"

namespace sumi::evaluate {
namespace {

using generate::FakeModel;
using generate::kEnd;
using generate::kVocab;

// -ln p of a token whose logit is 2, 1 or 0 in FakeModel's rows.
double loss(double logit) { return std::log(std::exp(2) + std::exp(1) + kVocab - 2) - logit; }

TEST(Perplexity, OneWindow) {
  FakeModel model;
  model.answer = "abc";
  // After any first id: a, b, c, end. 'c' stands where 'b' is expected: the second best, logit 1.
  const std::vector<int32_t> ids = {1, 'a', 'c', 'x', kEnd};
  std::vector<double> progress;
  const PerplexityResult result = perplexity(
      model, ids,
      {.context = 0, .progress = [&](double fraction) { progress.push_back(fraction); }});
  const double expected = (loss(2) + loss(1) + loss(0) + loss(2)) / 4;
  EXPECT_NEAR(result.nll, expected, 1e-12);
  EXPECT_NEAR(result.perplexity, std::exp(expected), 1e-9);
  EXPECT_EQ(result.tokens, 4);
  EXPECT_EQ(result.windows, 1);
  EXPECT_FALSE(progress.empty());
}

TEST(Perplexity, WindowsStartAfresh) {
  FakeModel model;
  model.answer = "abc";
  // Windows of 3: (1 a b) (c a x) (1): the last has nothing to predict.
  const std::vector<int32_t> ids = {1, 'a', 'b', 'c', 'a', 'x', 1};
  const PerplexityResult result = perplexity(model, ids, {.context = 3, .progress = {}});
  EXPECT_NEAR(result.nll, (loss(2) * 3 + loss(0)) / 4, 1e-12);
  EXPECT_EQ(result.tokens, 4);
  EXPECT_EQ(result.windows, 2);
}

TEST(Perplexity, LongWindowsInPiecesGiveTheSame) {
  FakeModel model;
  model.positions = 3000;
  model.answer = std::string(1500, 'a');
  const std::vector<int32_t> ids(1501, 'a');
  const PerplexityResult result = perplexity(model, ids);
  EXPECT_GT(model.calls.size(), 1u);
  EXPECT_EQ(result.tokens, 1500);
  EXPECT_NEAR(result.nll, loss(2), 1e-12);
}

TEST(Perplexity, WrongRequestsAreErrorsBeforeAnyWork) {
  FakeModel model;
  EXPECT_THROW(perplexity(model, std::vector<int32_t>{1}), Error);
  EXPECT_THROW(perplexity(model, std::vector<int32_t>{}), Error);
  EXPECT_THROW(perplexity(model, std::vector<int32_t>{1, kVocab}), Error);
  EXPECT_THROW(perplexity(model, std::vector<int32_t>{1, -1}), Error);
  EXPECT_THROW(perplexity(model, std::vector<int32_t>{1, 2}, {.context = 1, .progress = {}}),
               Error);
  EXPECT_THROW(perplexity(model, std::vector<int32_t>{1, 2}, {.context = 65, .progress = {}}),
               Error);
  EXPECT_TRUE(model.calls.empty());
}

}  // namespace
}  // namespace sumi::evaluate

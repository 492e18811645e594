#include "ops/token_merging.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "ops/bf16.h"
#include "ops/check.h"

namespace sumi::ops {
namespace {

using check::random_tensor;

double cosine(const float* a, const float* b, int64_t channels) {
  double product = 0, aa = 0, bb = 0;
  for (int64_t c = 0; c < channels; ++c) {
    product += a[c] * b[c];
    aa += a[c] * a[c];
    bb += b[c] * b[c];
  }
  return product / std::sqrt(aa * bb);
}

std::vector<std::vector<int64_t>> groups_of(const TokenMerging& merging, int64_t picture, int64_t tokens) {
  std::vector<std::vector<int64_t>> groups(static_cast<size_t>(merging.tokens()));
  for (int64_t t = 0; t < tokens; ++t)
    groups[static_cast<size_t>(merging.rows()[static_cast<size_t>(picture * tokens + t)])].push_back(t);
  return groups;
}

TEST(TokenMerging, MergesTheMostSimilar) {
  const int64_t height = 6, width = 9, tokens = height * width, channels = 12;
  const Tensor x = random_tensor({2, tokens, channels}, 1);
  const std::vector<int32_t> destinations = TokenMerging::destinations(height, width);
  ASSERT_EQ(destinations.size(), 12u);  // of 3 x 4 blocks; the last column has none
  std::set<int64_t> blocks;
  for (const int32_t t : destinations) blocks.insert(t / width / 2 * 100 + t % width / 2);
  EXPECT_EQ(blocks.size(), 12u);
  for (const double ratio : {0.1, 0.4, 0.75}) {
    const TokenMerging merging(x, height, width, ratio);
    const auto merged = static_cast<int64_t>(ratio * tokens);
    ASSERT_EQ(merging.tokens(), tokens - merged);
    for (int64_t b = 0; b < 2; ++b) {
      struct Pair {
        double cosine;
        int64_t source, destination;
      };
      std::vector<Pair> pairs;
      for (int64_t t = 0; t < tokens; ++t) {
        if (std::count(destinations.begin(), destinations.end(), t)) continue;
        Pair best{-2, t, 0};
        for (const int32_t d : destinations) {
          const float* rows = x.f32() + b * tokens * channels;
          const double found = cosine(rows + t * channels, rows + d * channels, channels);
          if (found > best.cosine) best = {found, t, d};
        }
        pairs.push_back(best);
      }
      std::sort(pairs.begin(), pairs.end(), [](const Pair& p, const Pair& q) { return p.cosine > q.cosine; });
      const int32_t* rows = merging.rows().data() + b * tokens;
      for (int64_t i = 0; i < merged; ++i)
        EXPECT_EQ(rows[pairs[static_cast<size_t>(i)].source], rows[pairs[static_cast<size_t>(i)].destination]);
      std::set<int32_t> groups(rows, rows + tokens);
      EXPECT_EQ(static_cast<int64_t>(groups.size()), merging.tokens());
    }
  }
}

TEST(TokenMerging, MeansGoInAndTheirRowsComeOut) {
  const int64_t height = 4, width = 6, tokens = height * width, channels = 5;
  const Tensor x = random_tensor({2, tokens, channels}, 2);
  const TokenMerging merging(x, height, width, 0.5);
  const Tensor merged = merging.merge(x);
  ASSERT_EQ(merged.shape(), (Shape{2, tokens / 2, channels}));
  for (int64_t b = 0; b < 2; ++b) {
    const auto groups = groups_of(merging, b, tokens);
    int64_t last = -1;
    for (size_t r = 0; r < groups.size(); ++r) {
      for (int64_t c = 0; c < channels; ++c) {
        double mean = 0;
        for (const int64_t t : groups[r]) mean += x.f32()[(b * tokens + t) * channels + c];
        mean /= static_cast<double>(groups[r].size());
        EXPECT_NEAR(merged.f32()[(b * merging.tokens() + static_cast<int64_t>(r)) * channels + c], mean, 1e-6);
      }
      EXPECT_FALSE(groups[r].empty());
      last = std::max(last, groups[r].back());
    }
    EXPECT_EQ(last, tokens - 1);
  }
  const Tensor back = merging.unmerge(merged);
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t row = merging.rows()[static_cast<size_t>(b * tokens + t)];
        EXPECT_EQ(back.f32()[(b * tokens + t) * channels + c],
                  merged.f32()[(b * merging.tokens() + row) * channels + c]);
      }
}

// Four colours in 2x2 blocks of one colour each: every block becomes one token, or joins another of its colour.
TEST(TokenMerging, EqualTokensMergeWithEqualOnes) {
  const int64_t height = 8, width = 8, channels = 4;
  for (const bool bf16 : {false, true}) {
    Tensor x = Tensor::zeros({1, height * width, channels});
    const auto colour = [&](int64_t t) { return (t / width / 2 + 3 * (t % width / 2)) % channels; };
    for (int64_t t = 0; t < height * width; ++t) x.f32()[t * channels + colour(t)] = static_cast<float>(1 + colour(t));
    if (bf16) x = narrow(x);
    const TokenMerging merging(x, height, width, 0.75);
    EXPECT_EQ(merging.tokens(), 16);
    for (const auto& group : groups_of(merging, 0, height * width))
      for (const int64_t t : group) EXPECT_EQ(colour(t), colour(group[0]));
    const Tensor back = merging.unmerge(merging.merge(x));
    check::expect_same_bits(widen(back), widen(x));
  }
}

TEST(TokenMerging, BadArgumentsAreNamed) {
  const Tensor x = random_tensor({1, 12, 3}, 4);
  EXPECT_THROW(TokenMerging(x, 3, 5, 0.5), Error);
  EXPECT_THROW(TokenMerging(x, 3, 4, 0.8), Error);
  EXPECT_THROW(TokenMerging(x, 3, 4, -0.1), Error);
  EXPECT_THROW(TokenMerging(x, 3, 4, 0.5).merge(random_tensor({1, 11, 3}, 4)), Error);
}

TEST(TokenMerging, ALineHasNoBlocksAndNothingMerges) {
  const Tensor x = random_tensor({1, 7, 3}, 5);
  EXPECT_EQ(TokenMerging(x, 1, 7, 0.75).tokens(), 7);
}

}  // namespace
}  // namespace sumi::ops

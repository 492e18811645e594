#include "ops/relative_bias.h"

#include <gtest/gtest.h>

#include "ops/attention.h"
#include "ops/cached_attention.h"
#include "ops/check.h"

namespace sumi::ops {
namespace {

using check::error_of;
using check::expect_close;
using check::expect_gradients;
using check::random_tensor;

struct Stretch {
  int64_t bucket, count;
};

// Buckets of distances -200 to 200 as T5Attention._relative_position_bucket of transformers gives
// them.
TEST(RelativeBias, BucketsEqualTransformers) {
  const std::vector<std::pair<RelativeBuckets, std::vector<Stretch>>> cases = {
      {{32, 128, true},
       {{15, 110}, {14, 27}, {13, 18}, {12, 14}, {11, 9},  {10, 7},  {9, 4},   {8, 4},
        {7, 1},    {6, 1},   {5, 1},   {4, 1},   {3, 1},   {2, 1},   {1, 1},   {0, 1},
        {17, 1},   {18, 1},  {19, 1},  {20, 1},  {21, 1},  {22, 1},  {23, 1},  {24, 4},
        {25, 4},   {26, 7},  {27, 9},  {28, 14}, {29, 18}, {30, 27}, {31, 110}}},
      {{32, 128, false},
       {{31, 88}, {30, 14}, {29, 12}, {28, 10}, {27, 10}, {26, 8}, {25, 7}, {24, 6},
        {23, 6},  {22, 5},  {21, 4},  {20, 4},  {19, 3},  {18, 3}, {17, 2}, {16, 3},
        {15, 1},  {14, 1},  {13, 1},  {12, 1},  {11, 1},  {10, 1}, {9, 1},  {8, 1},
        {7, 1},   {6, 1},   {5, 1},   {4, 1},   {3, 1},   {2, 1},  {1, 1},  {0, 201}}},
      {{8, 20, true}, {{3, 194}, {2, 5}, {1, 1}, {0, 1}, {5, 1}, {6, 5}, {7, 194}}},
      {{12, 50, false},
       {{11, 165},
        {10, 11},
        {9, 7},
        {8, 5},
        {7, 4},
        {6, 3},
        {5, 1},
        {4, 1},
        {3, 1},
        {2, 1},
        {1, 1},
        {0, 201}}},
  };
  for (const auto& [buckets, runs] : cases) {
    int64_t distance = -200;
    for (const Stretch& run : runs)
      for (int64_t i = 0; i < run.count; ++i, ++distance)
        EXPECT_EQ(relative_bucket(distance, buckets), run.bucket)
            << distance << " of " << buckets.count;
    EXPECT_EQ(distance, 201);
  }
}

TEST(RelativeBias, TakesRowsAndGivesGradients) {
  const RelativeBuckets buckets{8, 20, true};
  const Tensor table = random_tensor({8, 3}, 1);
  const Tensor bias = relative_bias(table, buckets, 6);
  ASSERT_EQ(bias.shape(), (Shape{3, 11}));
  for (int64_t h = 0; h < 3; ++h)
    for (int64_t d = -5; d <= 5; ++d)
      EXPECT_EQ(bias.f32()[h * 11 + 5 + d], table.f32()[relative_bucket(d, buckets) * 3 + h]);
  expect_gradients([&](const std::vector<Tensor>& in) { return relative_bias(in[0], buckets, 40); },
                   {table});
  EXPECT_NE(error_of([&] {
              relative_bias(table, {32, 128, true}, 4);
            }).find("32 buckets"),
            std::string::npos);
  EXPECT_NE(error_of([&] { relative_bias(table, buckets, 0); }).find("reach is 0"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              relative_bias(table, {8, 2, true}, 4);
            }).find("too small"),
            std::string::npos);
}

// The cached path, as T5's decoder and encoder use it.
TEST(RelativeBias, CachedAttentionAgrees) {
  for (const bool causal : {true, false}) {
    const int64_t keys = 150, heads = 4, size = 12;
    const Tensor q = random_tensor({keys, heads, size}, 1),
                 k = random_tensor({keys, heads, size}, 2);
    const Tensor v = random_tensor({keys, heads, size}, 3);
    AttentionOptions options;
    options.causal = causal;
    options.distance_bias = random_tensor({heads, 2 * keys + 7}, 4);
    const auto batch = [](const Tensor& t) { return t.view({1, t.size(0), t.size(1), t.size(2)}); };
    const Tensor want = attention(batch(q), batch(k), batch(v), options).view(q.shape());
    KvCache cache(heads, size);
    cache.append(k, v);
    expect_close(cached_attention(q, cache, options), want, 2e-5);
    options.query_offset = 90;
    expect_close(cached_attention(q.rows(90, 7), cache, options), want.rows(90, 7), 2e-5);
    options.distance_bias = random_tensor({heads, 2 * keys - 3}, 4);
    EXPECT_NE(
        error_of([&] { cached_attention(q.rows(90, 7), cache, options); }).find("distance bias"),
        std::string::npos);
  }
}

}  // namespace
}  // namespace sumi::ops

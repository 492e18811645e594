// Rotary frequencies against transformers (tools/reference/rope.py), turns, gradients, errors.
#include "ops/rope.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "ops/check.h"

namespace sumi::ops {
namespace {

using check::error_of;
using check::expect_close;
using check::expect_gradients;
using check::expect_same_bits;
using check::random_tensor;

TEST(RopeFrequencies, EqualTransformers) {
  const std::map<std::string, RopeScaling> scalings = {{"none", RopeScaling::none},
                                                       {"linear", RopeScaling::linear},
                                                       {"dynamic", RopeScaling::dynamic},
                                                       {"llama3", RopeScaling::llama3},
                                                       {"yarn", RopeScaling::yarn}};
  std::ifstream file(SUMI_TEST_DATA "/ops/rope.txt");
  ASSERT_TRUE(file.is_open());
  int cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    SCOPED_TRACE(line.substr(0, line.find('|')));
    std::istringstream in(line);
    std::string scaling, bar;
    RopeOptions o;
    int64_t max_position;
    float magnitude;
    in >> scaling >> o.rotary_dim >> o.theta >> o.factor >> o.original_max_positions >>
        o.low_freq_factor >> o.high_freq_factor >> o.beta_fast >> o.beta_slow >>
        o.attention_factor >> o.mscale >> o.mscale_all_dim >> o.truncate >> max_position >> bar >>
        magnitude >> bar;
    o.scaling = scalings.at(scaling);
    const RopeFrequencies got = rope_frequencies(o, max_position);
    EXPECT_FLOAT_EQ(got.magnitude, magnitude);
    ASSERT_EQ(static_cast<int64_t>(got.inverse.size()), o.rotary_dim / 2);
    for (const float frequency : got.inverse) {
      float want;
      ASSERT_TRUE(in >> want);
      ASSERT_NEAR(frequency, want, 5e-7f * want);
    }
  }
  EXPECT_EQ(cases, 15);
}

TEST(RopeFrequencies, FactorsDivide) {
  RopeOptions o{.rotary_dim = 4};
  const auto plain = rope_frequencies(o, 1).inverse;
  o.frequency_factors = {2, 8};
  const auto divided = rope_frequencies(o, 1).inverse;
  EXPECT_EQ(divided[0], plain[0] / 2);
  EXPECT_EQ(divided[1], plain[1] / 8);
}

TEST(RopeFrequencies, Errors) {
  EXPECT_EQ(error_of([] { rope_frequencies({.rotary_dim = 5}, 1); }),
            "rope: rotary_dim is 5, expected an even number");
  EXPECT_NE(error_of([] { rope_frequencies({.rotary_dim = 8, .theta = 0}, 1); }).find("theta"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              rope_frequencies({.rotary_dim = 8, .scaling = RopeScaling::yarn, .factor = 2}, 1);
            }).find("original_max_positions is 0"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              rope_frequencies({.rotary_dim = 8, .frequency_factors = {1}}, 1);
            }).find("1 frequency factors, expected 4"),
            std::string::npos);
}

// The turn from the formula, in double.
Tensor turned(const Tensor& x, const std::vector<int32_t>& positions, const RopeFrequencies& f,
              RopePairs pairs) {
  Tensor y = x.clone();
  const auto half = static_cast<int64_t>(f.inverse.size());
  const int64_t heads = x.size(2), size = x.size(3);
  for (int64_t t = 0; t < x.size(0) * x.size(1); ++t)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < half; ++i) {
        const float angle =
            static_cast<float>(positions[static_cast<size_t>(t) % positions.size()]) *
            f.inverse[static_cast<size_t>(i)];
        const double c = f.magnitude * std::cos(double{angle}),
                     s = f.magnitude * std::sin(double{angle});
        const int64_t row = (t * heads + h) * size;
        const int64_t a = row + (pairs == RopePairs::halves ? i : 2 * i);
        const int64_t b = row + (pairs == RopePairs::halves ? i + half : 2 * i + 1);
        y.f32()[a] = static_cast<float>(x.f32()[a] * c - x.f32()[b] * s);
        y.f32()[b] = static_cast<float>(x.f32()[b] * c + x.f32()[a] * s);
      }
  return y;
}

TEST(Rope, ValuesAndGradients) {
  const Tensor x = random_tensor({2, 5, 3, 20}, 1);
  const std::vector<int32_t> shared = {0, 1, 7, 300, 2}, each = {0, 1, 2, 3, 4, 9, 8, 7, 6, 5};
  for (const int64_t rotary : {20, 12})
    for (const RopePairs pairs : {RopePairs::halves, RopePairs::neighbours}) {
      RopeFrequencies f = rope_frequencies({.rotary_dim = rotary, .theta = 100}, 10);
      f.magnitude = 1.3f;
      expect_close(rope(x, Tensor::from_ids(shared, {5}), f, pairs), turned(x, shared, f, pairs),
                   1e-6);
      const Tensor positions = Tensor::from_ids(each, {2, 5});
      expect_close(rope(x, positions, f, pairs), turned(x, each, f, pairs), 1e-6);
      expect_gradients(
          [&](const std::vector<Tensor>& in) { return rope(in[0], positions, f, pairs); }, {x});
    }
}

TEST(Rope, TablesDoNotChangeAnyBit) {
  const RopeFrequencies f = rope_frequencies({.rotary_dim = 32, .theta = 5000}, 10);
  const Tensor x = random_tensor({1, 1, 2, 32}, 2);
  const Tensor far = Tensor::from_ids({3000}, {1});
  const Tensor alone = rope(x, far, f, RopePairs::halves);  // too far for a table to be made
  std::vector<int32_t> run(3001);
  for (size_t i = 0; i < run.size(); ++i) run[i] = static_cast<int32_t>(i);
  Tensor many = Tensor::zeros({1, 3001, 2, 32});
  std::copy_n(x.f32(), 64, many.f32() + 3000 * 64);
  const Tensor all = rope(many, Tensor::from_ids(run, {3001}), f, RopePairs::halves);
  expect_same_bits(all.view({3001, 2, 32}).rows(3000, 1).view(x.shape()), alone);
  expect_same_bits(rope(x, far, f, RopePairs::halves), alone);  // now from the table
}

TEST(Rope, Errors) {
  const RopeFrequencies f = rope_frequencies({.rotary_dim = 8}, 10);
  const Tensor x = Tensor::zeros({1, 2, 1, 8});
  const auto turn = [&](const Tensor& in, const Tensor& positions) {
    return error_of([&] { rope(in, positions, f, RopePairs::halves); });
  };
  EXPECT_EQ(turn(x, Tensor::from_ids({0}, {1})),
            "rope: positions i32 [1], expected i32 [2] or [1, 2]");
  EXPECT_EQ(turn(x, Tensor::from_ids({0, -1}, {2})), "rope: position -1 at 1 is negative");
  EXPECT_NE(turn(Tensor::zeros({2, 8}), {}).find("expected [B, T, H, D]"), std::string::npos);
  EXPECT_EQ(turn(Tensor::zeros({1, 2, 1, 6}), Tensor::from_ids({0, 1}, {2})),
            "rope: 4 frequencies for heads of size 6");
}

}  // namespace
}  // namespace sumi::ops

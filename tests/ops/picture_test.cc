// Group norms and the small operations of picture networks.
#include "ops/picture.h"

#include <gtest/gtest.h>

#include "base/threads.h"
#include "kernels/naive.h"
#include "ops/check.h"
#include "ops/group_norm.h"

namespace sumi::ops {
namespace {

using check::error_of;
using check::expect_close;
using check::expect_gradients;
using check::expect_same_bits;
using check::random_tensor;

struct GroupCase {
  Shape x;
  int64_t groups;
};
const GroupCase kGroupCases[] = {
    {{2, 3, 5, 8}, 4}, {{1, 300, 24}, 3}, {{2, 17, 9, 40}, 40}, {{3, 1, 1, 6}, 1}, {{1, 13, 10, 37}, 1}};

TEST(GroupNorm, AgreesWithNaive) {
  for (const GroupCase& c : kGroupCases)
    for (const bool silu : {false, true})
      for (const float offset : {0.0f, 1000.0f}) {  // a large mean must not eat the variance
        SCOPED_TRACE(tensor::shape_string(c.x));
        Tensor x = random_tensor(c.x, 1);
        for (int64_t i = 0; i < x.numel(); ++i) x.f32()[i] += offset;
        const int64_t channels = x.size(-1), rows = x.numel() / channels / x.size(0);
        const Tensor weight = random_tensor({channels}, 2), bias = random_tensor({channels}, 3);
        Tensor want = Tensor::empty(c.x);
        for (int64_t b = 0; b < x.size(0); ++b)
          kernels::naive::group_norm(x.f32() + b * rows * channels, weight.f32(), bias.f32(), rows,
                                     channels, c.groups, 1e-5, silu,
                                     want.f32() + b * rows * channels);
        expect_close(group_norm(x, weight, bias, c.groups, 1e-5f, silu), want,
                     offset == 0 ? 1e-5 : 1e-3);
      }
}

TEST(GroupNorm, FiniteDifferences) {
  for (const GroupCase& c : kGroupCases)
    for (const bool silu : {false, true}) {
      SCOPED_TRACE(tensor::shape_string(c.x));
      const int64_t channels = c.x.back();
      expect_gradients(
          [&](const std::vector<Tensor>& in) {
            return group_norm(in[0], in[1], in[2], c.groups, 1e-3f, silu);
          },
          {random_tensor(c.x, 1), random_tensor({channels}, 2), random_tensor({channels}, 3)});
    }
}

TEST(GroupNorm, OfASum) {
  for (const GroupCase& c : kGroupCases) {
    SCOPED_TRACE(tensor::shape_string(c.x));
    const int64_t channels = c.x.back();
    const Tensor x = random_tensor(c.x, 1), offset = random_tensor({c.x[0], channels}, 4);
    const Tensor w = random_tensor({channels}, 2), b = random_tensor({channels}, 3);
    const Tensor want = group_norm(add_per_picture(x, offset), w, b, c.groups, 1e-5f, true);
    const Tensor kept = x.clone();
    expect_close(group_norm_of_sum(x, offset, w, b, c.groups, 1e-5f, true), want, 2e-5);
    expect_same_bits(x, kept);  // somebody else's
    expect_close(group_norm_of_sum(x.clone(), offset, w, b, c.groups, 1e-5f, true), want, 2e-5);
    expect_same_bits(group_norm_of_sum(x.clone(), {}, w, b, c.groups, 1e-5f),
                     group_norm(x, w, b, c.groups, 1e-5f));
    expect_gradients(
        [&](const std::vector<Tensor>& in) {
          return group_norm_of_sum(in[0], in[1], w, b, c.groups, 1e-3f, true);
        },
        {x, offset});
  }
}

TEST(GroupNorm, SameBitsForThreads) {
  const Tensor x = random_tensor({2, 33, 31, 64}, 1), w = random_tensor({64}, 2);
  const int before = base::num_threads();
  base::set_num_threads(1);
  const Tensor one = group_norm(x, w, w, 32, 1e-5f, true);
  base::set_num_threads(3);
  expect_same_bits(group_norm(x, w, w, 32, 1e-5f, true), one);
  base::set_num_threads(before);
}

TEST(GroupNorm, Errors) {
  const Tensor x = Tensor::zeros({1, 2, 2, 6}), w = Tensor::zeros({6});
  EXPECT_EQ(error_of([&] { group_norm(x, w, w, 4, 1e-5f); }),
            "group_norm: 6 channels do not split into 4 groups");
  EXPECT_EQ(error_of([&] { group_norm(x, Tensor::zeros({5}), w, 3, 1e-5f); }),
            "group_norm: weight has shape [5], expected [6]");
}

TEST(Picture, UpsampleNearest) {
  const Tensor x = random_tensor({2, 3, 4, 5}, 1);
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{6, 8}, {5, 7}, {3, 4}, {7, 9}, {2, 3}}) {
    const Tensor y = upsample_nearest(x, height, width);
    ASSERT_EQ(y.shape(), (Shape{2, height, width, 5}));
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t i = 0; i < height; ++i)
        for (int64_t j = 0; j < width; ++j)
          for (int64_t c = 0; c < 5; ++c)
            ASSERT_EQ(y.f32()[((b * height + i) * width + j) * 5 + c],
                      x.f32()[((b * 3 + i * 3 / height) * 4 + j * 4 / width) * 5 + c]);
    expect_gradients(
        [&, h = height, w = width](const std::vector<Tensor>& in) {
          return upsample_nearest(in[0], h, w);
        },
        {x});
  }
}

TEST(Picture, AveragePool) {
  const Tensor x = random_tensor({2, 5, 4, 3}, 1);
  const Tensor y = average_pool_2x(x);
  ASSERT_EQ(y.shape(), (Shape{2, 2, 2, 3}));
  const auto at = [&](int64_t b, int64_t i, int64_t j, int64_t c) {
    return x.f32()[((b * 5 + i) * 4 + j) * 3 + c];
  };
  EXPECT_NEAR(y.f32()[((1 * 2 + 1) * 2 + 0) * 3 + 2],
              (at(1, 2, 0, 2) + at(1, 2, 1, 2) + at(1, 3, 0, 2) + at(1, 3, 1, 2)) / 4, 1e-6);
  expect_gradients([](const std::vector<Tensor>& in) { return average_pool_2x(in[0]); }, {x});
}

TEST(Picture, PerPicture) {
  const Tensor x = random_tensor({2, 3, 2, 4}, 1), a = random_tensor({2, 4}, 2),
               b = random_tensor({2, 4}, 3);
  const Tensor sum = add_per_picture(x, a), turned = modulate(x, a, b);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const int64_t own = i / 24 * 4 + i % 4;
    ASSERT_EQ(sum.f32()[i], x.f32()[i] + a.f32()[own]);
    ASSERT_NEAR(turned.f32()[i], x.f32()[i] * (1 + a.f32()[own]) + b.f32()[own], 1e-6);
  }
  expect_gradients(
      [](const std::vector<Tensor>& in) { return add_per_picture(in[0], in[1]); }, {x, a});
  expect_gradients(
      [](const std::vector<Tensor>& in) { return modulate(in[0], in[1], in[2]); }, {x, a, b});
  EXPECT_EQ(error_of([&] { add_per_picture(x, Tensor::zeros({2, 3})); }),
            "add_per_picture: y has shape [2, 3], expected [2, 4]");
}

TEST(Picture, TimestepEmbedding) {
  for (const bool flip : {false, true})
    for (const double shift : {0.0, 1.0}) {
      const Tensor y = timestep_embedding(
          {0, 17.5f, 999}, {.dim = 8, .flip_sin_to_cos = flip, .freq_shift = shift});
      const float t[] = {0, 17.5f, 999};
      for (int64_t b = 0; b < 3; ++b)
        for (int64_t i = 0; i < 4; ++i) {
          const double angle = t[b] * std::pow(10000.0, -static_cast<double>(i) / (4 - shift));
          EXPECT_NEAR(y.f32()[b * 8 + (flip ? 4 + i : i)], std::sin(angle), 1e-4);
          EXPECT_NEAR(y.f32()[b * 8 + (flip ? i : 4 + i)], std::cos(angle), 1e-4);
        }
    }
  EXPECT_EQ(error_of([] { timestep_embedding({1}, {.dim = 5}); }),
            "timestep_embedding: dim is 5, expected an even number from 2 on");
}

}  // namespace
}  // namespace sumi::ops

// oneDNN's products against the naive twin.
#include "kernels/onednn.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/half.h"
#include "kernels/naive.h"
#include "kernels/random_values.h"

namespace sumi::kernels {
namespace {

std::vector<onednn::Matmul> cases() {
  std::vector<onednn::Matmul> all;
  const int64_t sizes[][3] = {{1, 1, 1}, {1, 64, 32}, {3, 5, 7}, {17, 33, 65}, {64, 48, 96}};
  for (const auto& s : sizes)
    for (const bool a : {false, true})
      for (const bool b : {false, true})
        for (const float beta : {0.0f, 1.0f, -0.5f})
          all.push_back({a, b, s[0], s[1], s[2], beta == 1.0f ? 1.0f : 0.7f, beta});
  return all;
}

std::string describe(const onednn::Matmul& s) {
  return fmt::format("m {} n {} k {} transpose {} {} alpha {} beta {}", s.m, s.n, s.k,
                     s.transpose_a, s.transpose_b, s.alpha, s.beta);
}

TEST(Onednn, FloatProduct) {
  for (const onednn::Matmul& s : cases()) {
    const auto a = uniform_values(s.m * s.k, 1), b = uniform_values(s.k * s.n, 2);
    auto got = uniform_values(s.m * s.n, 3), want = got;
    if (s.beta == 0) got.assign(got.size(), NAN);  // must not be read
    onednn::matmul(s, a.data(), b.data(), got.data());
    naive::matmul(s.transpose_a, s.transpose_b, s.m, s.n, s.k, s.alpha, a.data(), b.data(), s.beta,
                  want.data());
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-5) << describe(s);
  }
}

TEST(Onednn, Bf16Product) {
  for (const onednn::Matmul& s : cases()) {
    std::vector<uint16_t> a, b;
    std::vector<float> wide_a, wide_b;
    for (const float value : uniform_values(s.m * s.k, 4)) a.push_back(base::float_to_bf16(value));
    for (const float value : uniform_values(s.k * s.n, 5)) b.push_back(base::float_to_bf16(value));
    for (const uint16_t bits : a) wide_a.push_back(base::bf16_to_float(bits));
    for (const uint16_t bits : b) wide_b.push_back(base::bf16_to_float(bits));
    auto got = uniform_values(s.m * s.n, 6), want = got;
    if (s.beta == 0) got.assign(got.size(), NAN);
    for (int run = 0; run < 2; ++run) {  // the second time from the cache of primitives
      auto again = got;
      onednn::matmul_bf16(s, a.data(), b.data(), again.data());
      auto expected = want;
      naive::matmul(s.transpose_a, s.transpose_b, s.m, s.n, s.k, s.alpha, wide_a.data(),
                    wide_b.data(), s.beta, expected.data());
      for (size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(again[i], expected[i], 1e-4) << describe(s);
    }
  }
}

TEST(Onednn, EmptyProducts) {
  std::vector<float> c = {1, 2, 3, 4, 5, 6};
  onednn::matmul({.m = 2, .n = 3, .k = 0, .beta = 2}, nullptr, nullptr, c.data());
  EXPECT_EQ(c, (std::vector<float>{2, 4, 6, 8, 10, 12}));
  onednn::matmul({.m = 2, .n = 3, .k = 0}, nullptr, nullptr, c.data());
  EXPECT_EQ(c, std::vector<float>(6, 0.0f));
  onednn::matmul({.m = 0, .n = 3, .k = 5}, nullptr, nullptr, nullptr);
}

}  // namespace
}  // namespace sumi::kernels

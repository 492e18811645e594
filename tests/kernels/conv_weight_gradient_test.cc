// The gradient of a convolution by its weights in bf16, real and emulated, against plain loops in double.
#include "kernels/conv_weight_gradient.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/half.h"
#include "base/threads.h"
#include "kernels/random_values.h"

namespace sumi::kernels {

namespace avx512_bf16_emulated { extern const ConvWeightGradientKernels kConvWeightGradient; }

namespace {

std::vector<uint16_t> random_bf16(int64_t n, uint32_t seed) {
  std::vector<uint16_t> bits;
  for (const float value : normal_values(n, seed)) bits.push_back(base::float_to_bf16(value));
  return bits;
}

// dweights[o][i][tap] = sum over pixels of dy[o] x[i], x a tap's shift away, zero outside the picture.
std::vector<double> expected(const ConvWeightGradient& p) {
  std::vector<double> sums(static_cast<size_t>(p.out * p.in * 9));
  const auto at = [&](int64_t b, int64_t y, int64_t x) { return (b * p.height + y) * p.width + x; };
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t y = 0; y < p.height; ++y)
      for (int64_t x = 0; x < p.width; ++x)
        for (int64_t tap = 0; tap < 9; ++tap) {
          const int64_t v = y + tap / 3 - 1, u = x + tap % 3 - 1;
          if (v < 0 || v >= p.height || u < 0 || u >= p.width) continue;
          for (int64_t o = 0; o < p.out; ++o)
            for (int64_t i = 0; i < p.in; ++i)
              sums[static_cast<size_t>((o * p.in + i) * 9 + tap)] +=
                  double{base::bf16_to_float(p.dy[at(b, y, x) * p.out + o])} *
                  double{base::bf16_to_float(p.x[at(b, v, u) * p.in + i])};
        }
  return sums;
}

TEST(ConvWeightGradient, IsThePlainSumInEitherTypeOnAnyNumberOfThreads) {
  std::vector<const ConvWeightGradientKernels*> copies = {&avx512_bf16_emulated::kConvWeightGradient};
  for (const base::Isa isa : base::runnable_isas())
    if (isa == base::Isa::avx512_bf16) copies.push_back(&conv_weight_gradient_kernels_for(isa));
  const ConvWeightGradient cases[] = {{.batch = 1, .height = 1, .width = 2, .in = 32, .out = 32},
                                      {.batch = 2, .height = 3, .width = 4, .in = 64, .out = 32},
                                      {.batch = 1, .height = 7, .width = 10, .in = 32, .out = 96}};
  for (const ConvWeightGradientKernels* kernels : copies)
    for (ConvWeightGradient p : cases) {
      const int64_t pixels = p.batch * p.height * p.width;
      const std::vector<uint16_t> x = random_bf16(pixels * p.in, 1), dy = random_bf16(pixels * p.out, 2);
      p.x = x.data();
      p.dy = dy.data();
      const std::vector<double> sums = expected(p);
      std::vector<float> wide(sums.size()), again(sums.size());
      std::vector<uint16_t> narrow(sums.size());
      conv_weight_gradient(p, wide.data(), nullptr, *kernels);
      conv_weight_gradient(p, nullptr, narrow.data(), *kernels);
      const int threads = base::num_threads();
      base::set_num_threads(1);
      conv_weight_gradient(p, again.data(), nullptr, *kernels);
      base::set_num_threads(threads);
      EXPECT_EQ(wide, again);
      for (size_t i = 0; i < sums.size(); ++i) {
        ASSERT_NEAR(static_cast<double>(wide[i]), sums[i], 1e-4 * (1 + std::abs(sums[i]))) << i;
        ASSERT_EQ(narrow[i], base::float_to_bf16(wide[i])) << i;
      }
    }
}

}  // namespace
}  // namespace sumi::kernels

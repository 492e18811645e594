// Every instruction set's copies of the group norm kernels against plain loops in double.
#include "kernels/group_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/kernel_copies.h"

namespace sumi::kernels {

SUMI_EMULATED_COPIES(GroupNormKernels, kGroupNorm)

namespace {

using Row = std::vector<float>;

Row random_row(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  Row row(static_cast<size_t>(n));
  for (float& value : row) value = normal(generator);
  return row;
}

void expect_near(const Row& got, const std::vector<double>& want) {
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], 2e-5 * (1 + std::fabs(want[i]))) << "element " << i;
}

TEST(GroupNormKernels, AgreeWithFormulas) {
  for (const auto& copy :
       kernel_copies<GroupNormKernels>(group_norm_kernels_for, avx512_emulated::kGroupNorm,
                                       avx512_bf16_emulated::kGroupNorm))
    for (const int64_t channels : {1, 8, 19, 48})
      for (const int64_t rows : {1, 8, 21})
        for (const bool silu : {false, true}) {
          SCOPED_TRACE(copy.name + ", channels " + std::to_string(channels));
          const GroupNormKernels& kernels = *copy.table;
          const int64_t n = rows * channels;
          const Row x = random_row(n, 1), dy = random_row(n, 2), center = random_row(channels, 3),
                    scale = random_row(channels, 4), shift = random_row(channels, 5),
                    slope = random_row(channels, 6), offset = random_row(channels, 7);
          Row sum = random_row(channels, 8), square = random_row(channels, 9);
          Row gradient_sum = sum, product = square, y(x.size()), dx(x.size());
          std::vector<double> s(sum.begin(), sum.end()), q(square.begin(), square.end());
          std::vector<double> gs = s, p = q, out(x.size()), gradient(x.size());
          for (size_t i = 0; i < x.size(); ++i) {
            const size_t c = i % static_cast<size_t>(channels);
            const double d = double{x[i]} - center[c];
            s[c] += d;
            q[c] += d * d;
            const double z = double{x[i]} * scale[c] + shift[c], sigmoid = 1 / (1 + std::exp(-z));
            out[i] = silu ? z * sigmoid : z;
            const double dz = silu ? dy[i] * sigmoid * (1 + z * (1 - sigmoid)) : dy[i];
            gs[c] += dz;
            p[c] += dz * x[i];
            gradient[i] = dz * scale[c] + double{x[i]} * slope[c] + offset[c];
          }
          const ChannelAffine affine{scale.data(), shift.data(), silu};
          kernels.sums(x.data(), center.data(), rows, channels, sum.data(), square.data());
          kernels.apply(x.data(), affine, rows, channels, y.data());
          kernels.backward_sums(x.data(), dy.data(), affine, rows, channels, gradient_sum.data(),
                                product.data());
          kernels.backward_apply(x.data(), dy.data(), affine, slope.data(), offset.data(), rows,
                                 channels, dx.data());
          expect_near(sum, s);
          expect_near(square, q);
          expect_near(y, out);
          expect_near(gradient_sum, gs);
          expect_near(product, p);
          expect_near(dx, gradient);
        }
}

}  // namespace
}  // namespace sumi::kernels

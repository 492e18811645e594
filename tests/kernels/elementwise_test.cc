// Row kernels of every instruction set against the naive twins.
#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "base/half.h"
#include "kernels/kernel_copies.h"
#include "kernels/naive.h"
#include "kernels/tile_matmul.h"

namespace sumi::kernels {

SUMI_EMULATED_COPIES(ElementwiseKernels, kElementwise)
SUMI_EMULATED_COPIES(TileKernels, kTile)

namespace {

using Row = std::vector<float>;

constexpr int64_t kSizes[] = {1, 2, 7, 8, 15, 16, 17, 33, 64, 100, 129, 576};
constexpr Activation kActivations[] = {Activation::identity,   Activation::relu,
                                       Activation::gelu,       Activation::gelu_tanh,
                                       Activation::gelu_quick, Activation::silu,
                                       Activation::sigmoid,    Activation::relu_squared};

Row random_row(int64_t n, uint32_t seed, float spread = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, spread);
  Row row(static_cast<size_t>(n));
  for (float& value : row) value = normal(generator);
  return row;
}

// |got - want| <= tolerance (1 + |want|)
void expect_close(const Row& got, const Row& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], tolerance * (1 + std::fabs(want[i]))) << "element " << i;
}

// Runs check(kernels, n) for every copy and size.
void for_copies(const std::function<void(const ElementwiseKernels&, int64_t)>& check) {
  for (const auto& copy :
       kernel_copies<ElementwiseKernels>(elementwise_kernels_for, avx512_emulated::kElementwise,
                                         avx512_bf16_emulated::kElementwise))
    for (const int64_t n : kSizes) {
      SCOPED_TRACE(copy.name + ", n = " + std::to_string(n));
      check(*copy.table, n);
      if (testing::Test::HasFatalFailure()) return;
    }
}

TEST(Elementwise, Arithmetic) {
  for_copies([](const ElementwiseKernels& kernels, int64_t n) {
    const Row a = random_row(n, 1), b = random_row(n, 2), c = random_row(n, 3);
    Row sum(a), product(a), scaled(a), grown(c), grown_product(c), grown_scaled(c);
    kernels.add(a.data(), b.data(), sum.data(), n);
    kernels.mul(a.data(), b.data(), product.data(), n);
    kernels.scale(a.data(), 1.7f, scaled.data(), n);
    kernels.accumulate(a.data(), grown.data(), n);
    kernels.accumulate_product(a.data(), b.data(), grown_product.data(), n);
    kernels.accumulate_scaled(a.data(), -0.3f, grown_scaled.data(), n);
    double dot = 0, size = 0;
    float top = a[0];
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(sum[i], a[i] + b[i]);
      ASSERT_EQ(product[i], a[i] * b[i]);
      ASSERT_EQ(scaled[i], a[i] * 1.7f);
      ASSERT_EQ(grown[i], c[i] + a[i]);
      ASSERT_NEAR(grown_product[i], double{a[i]} * b[i] + c[i], 1e-6);
      ASSERT_NEAR(grown_scaled[i], a[i] * -0.3 + c[i], 1e-6);
      dot += double{a[i]} * b[i];
      size += std::fabs(double{a[i]} * b[i]);
      top = std::max(top, a[i]);
    }
    EXPECT_NEAR(kernels.dot(a.data(), b.data(), n), dot, 1e-6 * (1 + size));
    EXPECT_EQ(kernels.maximum(a.data(), n), top);
  });
}

TEST(Elementwise, NarrowAndWiden) {
  for_copies([](const ElementwiseKernels& kernels, int64_t n) {
    Row x = random_row(n, 4);
    x[0] = std::numeric_limits<float>::infinity();
    std::vector<uint16_t> bits(x.size());
    kernels.narrow(x.data(), bits.data(), n);
    Row back(x.size());
    kernels.widen(bits.data(), back.data(), n);
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(bits[i], base::float_to_bf16(x[i])) << x[i];
      ASSERT_EQ(back[i], base::bf16_to_float(bits[i]));
    }
  });
}

TEST(Elementwise, ClampAndSoftcap) {
  for_copies([](const ElementwiseKernels& kernels, int64_t n) {
    const Row x = random_row(n, 4, 30), dy = random_row(n, 5);
    Row clamped(x), dclamped(x), capped(x), dcapped(x);
    kernels.clamp(x.data(), 8, clamped.data(), n);
    kernels.clamp_backward(x.data(), 8, dy.data(), dclamped.data(), n);
    kernels.softcap(x.data(), 20, capped.data(), n);
    kernels.softcap_backward(capped.data(), 20, dy.data(), dcapped.data(), n);
    for (size_t i = 0; i < x.size(); ++i) {
      const double t = std::tanh(double{x[i]} / 20);
      ASSERT_EQ(clamped[i], std::clamp(x[i], -8.0f, 8.0f));
      ASSERT_EQ(dclamped[i], std::fabs(x[i]) > 8 ? 0 : dy[i]);
      ASSERT_NEAR(capped[i], 20 * t, 5e-7 * std::fabs(20 * t) + 1e-9) << x[i];
      ASSERT_NEAR(dcapped[i], dy[i] * (1 - t * t), 1e-6 * (1 + std::fabs(dy[i])));
    }
  });
}

// A fine grid over the range where the functions bend, and far outside it.
Row activation_points() {
  Row points;
  for (int i = -12000; i <= 12000; ++i) points.push_back(static_cast<float>(i) * 0.001f);
  for (const float far : {20.0f, 50.0f, 100.0f, 1e4f, 1e30f}) {
    points.push_back(far);
    points.push_back(-far);
  }
  return points;
}

TEST(Elementwise, ActivationsAreAccurate) {
  const Row x = activation_points();
  const auto n = static_cast<int64_t>(x.size());
  for (const auto& copy :
       kernel_copies<ElementwiseKernels>(elementwise_kernels_for, avx512_emulated::kElementwise,
                                         avx512_bf16_emulated::kElementwise))
    for (const Activation kind : kActivations) {
      SCOPED_TRACE(copy.name + ", kind " + std::to_string(static_cast<int>(kind)));
      const Row dy(x.size(), 1.0f);
      Row y(x.size()), slope(x.size());
      copy.table->activation(kind, x.data(), y.data(), n);
      copy.table->activation_backward(kind, x.data(), dy.data(), slope.data(), n);
      for (size_t i = 0; i < x.size(); ++i) {
        const double want = naive::activation(kind, x[i]);
        if (want > std::numeric_limits<float>::max()) {
          ASSERT_TRUE(std::isinf(y[i])) << "x = " << x[i];
          continue;
        }
        ASSERT_NEAR(y[i], want, 4e-7 * (0.5 + std::fabs(want))) << "x = " << x[i];
        if (std::fabs(x[i]) < 1e5f) {
          ASSERT_NEAR(slope[i], naive::activation_slope(kind, x[i]), 2e-6) << "x = " << x[i];
        }
      }
    }
}

TEST(Elementwise, ActivationsKeepNaN) {
  for_copies([](const ElementwiseKernels& kernels, int64_t n) {
    for (const Activation kind : kActivations) {
      Row x(static_cast<size_t>(n), std::numeric_limits<float>::quiet_NaN()), y(x.size());
      kernels.activation(kind, x.data(), y.data(), n);
      for (const float value : y) ASSERT_TRUE(std::isnan(value)) << static_cast<int>(kind);
    }
  });
}

TEST(Elementwise, Gated) {
  for_copies([](const ElementwiseKernels& kernels, int64_t n) {
    const Row gate = random_row(n, 6, 2), up = random_row(n, 7), dy = random_row(n, 8);
    for (const Activation kind : kActivations) {
      Row y(gate), dgate(gate), dup(gate), want_y(gate), want_dgate(gate), want_dup(gate);
      kernels.gated(kind, gate.data(), up.data(), y.data(), n);
      kernels.gated_backward(kind, gate.data(), up.data(), dy.data(), dgate.data(), dup.data(), n);
      for (size_t i = 0; i < gate.size(); ++i) {
        want_y[i] = static_cast<float>(naive::activation(kind, gate[i]) * up[i]);
        want_dgate[i] = static_cast<float>(naive::activation_slope(kind, gate[i]) * up[i] * dy[i]);
        want_dup[i] = static_cast<float>(naive::activation(kind, gate[i]) * dy[i]);
      }
      expect_close(y, want_y, 2e-6);
      expect_close(dgate, want_dgate, 2e-6);
      expect_close(dup, want_dup, 2e-6);
    }
  });
}

TEST(Elementwise, LayerNorm) {
  for_copies([](const ElementwiseKernels& kernels, int64_t n) {
    Row x = random_row(n, 9);
    for (float& value : x) value += 3;  // the mean must be taken away exactly
    const Row weight = random_row(n, 10), bias = random_row(n, 11), dy = random_row(n, 12);
    const float eps = 1e-2f;
    for (const float* b : {bias.data(), static_cast<const float*>(nullptr)}) {
      Row y(x), want(x);
      const NormStatistics statistics =
          kernels.layer_norm(x.data(), weight.data(), b, eps, y.data(), n);
      naive::layer_norm(x.data(), weight.data(), b, eps, want.data(), n);
      expect_close(y, want, 1e-5);
      Row dx(x), dw(x.size()), want_dx(x), want_dw(x.size()), want_db(x.size());
      kernels.layer_norm_backward(x.data(), weight.data(), dy.data(), statistics, dx.data(), n);
      kernels.norm_backward_weight(x.data(), dy.data(), statistics, dw.data(), n);
      naive::layer_norm_backward(x.data(), weight.data(), eps, dy.data(), want_dx.data(),
                                 want_dw.data(), want_db.data(), n);
      expect_close(dx, want_dx, 2e-5);
      expect_close(dw, want_dw, 1e-5);
    }
  });
}

TEST(Elementwise, RmsNorm) {
  for_copies([](const ElementwiseKernels& kernels, int64_t n) {
    const Row x = random_row(n, 13), weight = random_row(n, 14), dy = random_row(n, 15);
    for (const float offset : {0.0f, 1.0f}) {
      Row y(x), want(x), dx(x), dw(x.size()), want_dx(x), want_dw(x.size());
      const NormStatistics statistics =
          kernels.rms_norm(x.data(), weight.data(), offset, 1e-3f, y.data(), n);
      naive::rms_norm(x.data(), weight.data(), offset, 1e-3f, want.data(), n);
      expect_close(y, want, 2e-6);
      kernels.rms_norm_backward(x.data(), weight.data(), offset, dy.data(), statistics, dx.data(),
                                n);
      kernels.norm_backward_weight(x.data(), dy.data(), statistics, dw.data(), n);
      naive::rms_norm_backward(x.data(), weight.data(), offset, 1e-3f, dy.data(), want_dx.data(),
                               want_dw.data(), n);
      expect_close(dx, want_dx, 1e-5);
      expect_close(dw, want_dw, 2e-6);
    }
  });
}

TEST(Elementwise, Softmax) {
  for_copies([](const ElementwiseKernels& kernels, int64_t n) {
    const Row x = random_row(n, 16, 5), dy = random_row(n, 17);
    Row y(x), want(x), dx(x), want_dx(x);
    kernels.softmax(x.data(), y.data(), n);
    naive::softmax(x.data(), want.data(), n);
    expect_close(y, want, 1e-6);
    kernels.softmax_backward(y.data(), dy.data(), dx.data(), n);
    naive::softmax_backward(y.data(), dy.data(), want_dx.data(), n);
    expect_close(dx, want_dx, 2e-6);
    EXPECT_NEAR(kernels.log_sum_exp(x.data(), n), naive::log_sum_exp(x.data(), n), 4e-6);
  });
}

TEST(Elementwise, SoftmaxOfHiddenAndFarValues) {
  for_copies([](const ElementwiseKernels& kernels, int64_t n) {
    if (n < 2) return;
    Row x(static_cast<size_t>(n), -std::numeric_limits<float>::infinity()), y(x);
    x.front() = 1000;
    x.back() = 800;  // e^-200 of the largest
    kernels.softmax(x.data(), y.data(), n);
    EXPECT_EQ(y.front(), 1);
    for (size_t i = 1; i < y.size(); ++i) ASSERT_EQ(y[i], 0);
  });
}

TEST(Elementwise, Rope) {
  for_copies([](const ElementwiseKernels& kernels, int64_t half) {
    const Row x = random_row(2 * half, 18), angle = random_row(half, 19, 3);
    Row cosine(angle), sine(angle), halves(x), neighbours(x);
    for (size_t i = 0; i < angle.size(); ++i) {
      cosine[i] = std::cos(angle[i]);
      sine[i] = std::sin(angle[i]);
    }
    kernels.rope_halves(x.data(), cosine.data(), sine.data(), halves.data(), half);
    kernels.rope_neighbours(x.data(), cosine.data(), sine.data(), neighbours.data(), half);
    const auto h = static_cast<size_t>(half);
    for (size_t i = 0; i < h; ++i) {
      const double c = cosine[i], s = sine[i];
      ASSERT_NEAR(halves[i], x[i] * c - x[h + i] * s, 1e-6);
      ASSERT_NEAR(halves[h + i], x[h + i] * c + x[i] * s, 1e-6);
      ASSERT_NEAR(neighbours[2 * i], x[2 * i] * c - x[2 * i + 1] * s, 1e-6);
      ASSERT_NEAR(neighbours[2 * i + 1], x[2 * i + 1] * c + x[2 * i] * s, 1e-6);
    }
  });
}

// The part of a row that a thread gets must not matter: cutting at any point gives the same bits.
TEST(Elementwise, CutRangesGiveTheSameBits) {
  for_copies([](const ElementwiseKernels& kernels, int64_t n) {
    const Row x = random_row(n, 20, 2);
    for (const Activation kind : kActivations) {
      Row whole(x), cut(x);
      kernels.activation(kind, x.data(), whole.data(), n);
      const int64_t at = n / 3;
      kernels.activation(kind, x.data(), cut.data(), at);
      kernels.activation(kind, x.data() + at, cut.data() + at, n - at);
      ASSERT_EQ(whole, cut);
    }
  });
}

struct TileCase {
  int64_t m, n, k;
};

TEST(TileMatmul, AgreesWithNaiveWhateverTheNeighbours) {
  const TileCase cases[] = {{1, 1, 1},  {3, 5, 7},    {4, 16, 64},
                            {5, 33, 9}, {64, 64, 64}, {13, 47, 20}};
  for (const auto& copy : kernel_copies<TileKernels>(
           tile_kernels_for, avx512_emulated::kTile, avx512_bf16_emulated::kTile))
    for (const TileCase& c : cases)
      for (const bool transposed : {false, true}) {
        SCOPED_TRACE(copy.name + " m " + std::to_string(c.m) + " n " + std::to_string(c.n));
        const Row a = random_row(c.m * c.k, 21), b = random_row(c.k * c.n, 22);
        const Row before = random_row(c.m * c.n, 23);
        Row got(before), want(before), one(static_cast<size_t>(c.n));
        const int64_t row = transposed ? 1 : c.k, column = transposed ? c.m : 1;
        copy.table->multiply(c.m, c.n, c.k, a.data(), row, column, b.data(), c.n, got.data(), c.n, true);
        naive::matmul(transposed, false, c.m, c.n, c.k, 1, a.data(), b.data(), 1, want.data());
        expect_close(got, want, 1e-5);
        copy.table->multiply(c.m, c.n, c.k, a.data(), row, column, b.data(), c.n, got.data(), c.n, false);
        const int64_t last = c.m - 1;
        copy.table->multiply(1, c.n, c.k, a.data() + last * row, row, column, b.data(), c.n, one.data(),
                      c.n, false);
        ASSERT_EQ(one, Row(got.begin() + last * c.n, got.end())) << "a row alone";
      }
}

TEST(TileMatmul, Transposes) {
  for (const auto& copy : kernel_copies<TileKernels>(tile_kernels_for, avx512_emulated::kTile, avx512_bf16_emulated::kTile))
    for (const int64_t rows : {1, 15, 16, 37, 64})
      for (const int64_t columns : {1, 16, 31, 64}) {
        SCOPED_TRACE(copy.name + " rows " + std::to_string(rows) + " columns " + std::to_string(columns));
        const int64_t from_row = columns + 3, to_row = rows + 5;
        const Row from = random_row(rows * from_row, 24), before = random_row(columns * to_row, 25);
        Row to(before);
        copy.table->transpose(rows, columns, from.data(), from_row, to.data(), to_row);
        for (int64_t c = 0; c < columns; ++c)
          for (int64_t r = 0; r < to_row; ++r) {
            const auto at = static_cast<size_t>(c * to_row + r);
            ASSERT_EQ(to[at], r < rows ? from[static_cast<size_t>(r * from_row + c)] : before[at]);
          }
      }
}

}  // namespace
}  // namespace sumi::kernels

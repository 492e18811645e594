// Weights unpacked to floats in every format, and their products both ways, against sums in double.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/round_up.h"
#include "kernels/kernel_copies.h"
#include "kernels/matmul_cases.h"
#include "kernels/unpacked_product.h"

namespace sumi::kernels {

SUMI_EMULATED_COPIES(UnpackKernels, kUnpack)

namespace {

PackedCase packed(const SourceFormat& format, int64_t n, int64_t k, uint32_t seed) {
  PackedMatrix layout = packed_layout(format.kind, n, k);
  layout.exact = true;
  return PackedCase(layout, format.kind, random_rows(format, n, k, seed));
}

template <class Number>
Number largest(const std::vector<Number>& values) {
  Number most = 0;
  for (const Number value : values) most = std::max(most, std::fabs(value));
  return most;
}

TEST(UnpackPanel, GivesTheStoredNumbers) {
  constexpr int64_t kRows = 37, kColumns = 512;
  for (const auto& copy : kernel_copies<UnpackKernels>(unpack_kernels_for, avx512_emulated::kUnpack, avx512_bf16_emulated::kUnpack))
    for (const SourceFormat& format : source_formats()) {
      const PackedCase c = packed(format, kRows, kColumns, 7);
      constexpr int64_t kRow = 24, kBegin = 64, kCount = 320;
      std::vector<float> out(kCount * kRow, 77);
      for (int64_t panel = 0; panel < c.matrix.panels(); ++panel) {
        copy.table->unpack(c.matrix, panel, kBegin, kCount, 0, out.data(), kRow);
        for (int64_t i = 0; i < kCount; ++i)
          for (int64_t lane = 0; lane < kRow; ++lane) {
            const float got = out[static_cast<size_t>(i * kRow + lane)];
            const int64_t row = panel * kPanel + lane;
            const float want = lane >= kPanel ? 77 : row < kRows ? packed_weight_at(c.matrix, row, kBegin + i) : 0;
            ASSERT_NEAR(got, want, 2e-7f * std::max(1.0f, std::fabs(want)))
                << copy.name << " " << format.name << ": row " << row << ", number " << kBegin + i;
          }
      }
    }
}

TEST(GroupRows, LaysNumbersOfTwelveRowsTogether) {
  for (const auto& copy : kernel_copies<UnpackKernels>(unpack_kernels_for, avx512_emulated::kUnpack, avx512_bf16_emulated::kUnpack))
    for (const auto& [rows, k] : {std::pair<int64_t, int64_t>{1, 5}, {12, 16}, {12, 15}, {29, 50}, {36, 64}}) {
      const Activations a(rows, k, 3);
      const int64_t groups = (rows + kFloatGroup - 1) / kFloatGroup;
      std::vector<float> got(static_cast<size_t>(groups * kFloatGroup * k), 77);
      copy.table->group_rows(a.x.data(), rows, k, got.data());
      for (int64_t r = 0; r < groups * kFloatGroup; ++r)
        for (int64_t i = 0; i < k; ++i)
          ASSERT_EQ(got[static_cast<size_t>((r / kFloatGroup * k + i) * kFloatGroup + r % kFloatGroup)],
                    r < rows ? a.x[static_cast<size_t>(r * k + i)] : 77)
              << copy.name << ": row " << r << ", number " << i;
    }
}

// Sizes that end within strips, stretches and blocks of rows.
class UnpackedProduct : public testing::TestWithParam<Shape3> {};

TEST_P(UnpackedProduct, EqualsTheNaiveTwin) {
  const auto [m, n, k] = GetParam();
  for (const SourceFormat& format : source_formats()) {
    if (k % format.block != 0) continue;
    const PackedCase c = packed(format, n, k, 8);
    const Activations a(m, k, 9);
    const std::vector<float> bias = Activations(1, n, 10).x;
    std::vector<float> got(static_cast<size_t>(m * (n + 3)), 77), want = got;
    MatmulArgs args;
    args.weight = c.matrix;
    args.m = m;
    args.x = a.x.data();
    args.y = want.data();
    args.ldy = n + 3;
    args.bias = bias.data();
    matmul_naive(args);
    args.y = got.data();
    const int64_t cut = c.matrix.panels() / 2;  // what is done apart is the same
    unpacked_product(args, 0, cut);
    unpacked_product(args, cut, c.matrix.panels());
    const float tolerance = 1e-5f * largest(want);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], tolerance) << format.name << " at " << i;
    std::vector<float> groups(static_cast<size_t>(base::round_up(m, kFloatGroup) * k), NAN), grouped(got.size(), 77);
    unpack_kernels().group_rows(a.x.data(), m, k, groups.data());
    args.x_groups = groups.data();
    args.y = grouped.data();
    unpacked_product(args, 0, c.matrix.panels());
    ASSERT_EQ(grouped, got) << format.name << ", rows in groups";
  }
}

TEST_P(UnpackedProduct, GradientEqualsSumsInDouble) {
  const auto [m, n, k] = GetParam();
  for (const SourceFormat& format : source_formats()) {
    if (k % format.block != 0) continue;
    const PackedCase c = packed(format, n, k, 11);
    const Activations dy(m, n + 5, 12);
    std::vector<double> want(static_cast<size_t>(m * k));
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < k; ++j) {
        const double weight = packed_weight_at(c.matrix, i, j);
        for (int64_t r = 0; r < m; ++r)
          want[static_cast<size_t>(r * k + j)] += weight * dy.x[static_cast<size_t>(r * (n + 5) + i)];
      }
    std::vector<float> dx(static_cast<size_t>(m * k), 77);
    const auto add = [&](bool accumulate) {
      const int64_t cut = k / 2 / kGradientStrip * kGradientStrip;
      unpacked_gradient(c.matrix, m, dy.x.data(), n + 5, 0, cut, dx.data(), accumulate);
      unpacked_gradient(c.matrix, m, dy.x.data(), n + 5, cut, k, dx.data(), accumulate);
    };
    const double tolerance = 1e-5 * largest(want);
    add(false);
    for (size_t i = 0; i < dx.size(); ++i) ASSERT_NEAR(dx[i], want[i], tolerance) << format.name << " at " << i;
    add(true);
    for (size_t i = 0; i < dx.size(); ++i) ASSERT_NEAR(dx[i], 2 * want[i], 2 * tolerance) << format.name << " twice, at " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, UnpackedProduct,
                         testing::Values(Shape3{1, 40, 256}, Shape3{5, 16, 97}, Shape3{14, 800, 256}, Shape3{530, 33, 32},
                                         Shape3{13, 50, 1280}),
                         [](const auto& shape) {
                           return std::to_string(shape.param.m) + "x" + std::to_string(shape.param.n) + "x" +
                                  std::to_string(shape.param.k);
                         });

}  // namespace
}  // namespace sumi::kernels

// Every instruction set's products and Winograd convolutions from stored weights, against the naive convolution.
#include "kernels/lane_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/half.h"
#include "kernels/kernel_copies.h"
#include "kernels/naive.h"
#include "kernels/random_values.h"

namespace sumi::kernels {

SUMI_EMULATED_COPIES(LaneKernels, kLaneKernels)

namespace {

struct Case {
  int64_t batch, height, width, in, out, kernel;
};
const Case kCases[] = {{1, 1, 7, 192, 64, 1},  {1, 5, 80, 64, 128, 1}, {1, 1, 1, 64, 64, 3},
                       {2, 4, 4, 64, 64, 3},   {1, 6, 9, 128, 128, 3}, {3, 21, 25, 64, 64, 3}};

// Weights as they are after rounding to `type`.
std::vector<float> rounded(std::vector<float> weights, int64_t out, LaneType type) {
  const size_t row = weights.size() / static_cast<size_t>(out);
  for (size_t o = 0; o < static_cast<size_t>(out); ++o) {
    float largest = 0;
    for (size_t i = 0; i < row; ++i) largest = std::max(largest, std::abs(weights[o * row + i]));
    for (size_t i = 0; i < row; ++i) {
      float& w = weights[o * row + i];
      if (type == LaneType::bf16) w = base::bf16_to_float(base::float_to_bf16(w));
      if (type == LaneType::f16) w = base::f16_to_float(base::float_to_f16(w));
      if (type == LaneType::s8) w = std::round(w * (127 / largest)) * (largest / 127);
    }
  }
  return weights;
}

// A convolution by one copy's parts.
void convolve_with(const LaneKernels& kernels, const Case& c, const float* x, const LaneWeights& weights,
                   const LaneEpilogue& epilogue, float* y) {
  std::vector<float> scratch(static_cast<size_t>(std::max(LaneKernels::product_scratch, LaneKernels::tile_scratch)));
  if (c.kernel == 1) {
    const int64_t rows = c.batch * c.height * c.width;
    for (int64_t first = 0; first < rows; first += LaneKernels::kRows)
      for (int64_t block = 0; block < c.out / kLanes; ++block)
        kernels.product({x + first * c.in, std::min(LaneKernels::kRows, rows - first), &weights, block, &epilogue,
                         y + first * c.out, scratch.data()});
    return;
  }
  const LaneKernels::Picture picture{c.height, c.width, (c.width + 3) / 4, (c.height + 3) / 4, false};
  const int64_t tiles = c.batch * picture.tiles();
  std::vector<float> transformed(static_cast<size_t>(c.in / kLanes * LaneKernels::kFrequencies * LaneKernels::kTileSlice));
  for (int64_t first = 0; first < tiles; first += LaneKernels::kTiles) {
    const int64_t count = std::min(LaneKernels::kTiles, tiles - first);
    kernels.transform(x, picture, c.in, first, count, 0, c.in / kLanes, transformed.data());
    for (int64_t block = 0; block < c.out / kLanes; ++block)
      kernels.tiles({picture, first, count, &weights, block, &epilogue, transformed.data(), y, scratch.data()});
  }
}

TEST(LaneProduct, AgreesWithNaive) {
  for (const Case& c : kCases) {
    const int64_t taps = c.kernel * c.kernel, pixels = c.batch * c.height * c.width;
    const auto x = normal_values(pixels * c.in, 1), weights = normal_values(c.out * c.in * taps, 2);
    const auto bias = normal_values(c.out, 3), before = normal_values(pixels * c.out, 4);
    const onednn::Conv2d shape{c.batch, c.height, c.width, c.in, c.out, c.kernel, c.kernel, 1,
                               c.kernel / 2, c.kernel / 2, c.kernel / 2, c.kernel / 2};
    for (const LaneType type : {LaneType::f32, LaneType::bf16, LaneType::f16, LaneType::s8}) {
      const LaneWeights packed = pack_lanes(weights.data(), c.out, c.in, taps, type);
      const auto stored = rounded(weights, c.out, type);
      std::vector<float> want(before.size());
      naive::convolve(shape, x.data(), stored.data(), bias.data(), want.data());
      // Sums of in * taps products of normal numbers.
      const auto tolerance = static_cast<float>(2e-5 * std::sqrt(static_cast<double>(c.in * taps)));
      for (const auto& copy : kernel_copies<LaneKernels>(lane_kernels_for, avx512_emulated::kLaneKernels,
                                                         avx512_bf16_emulated::kLaneKernels)) {
        SCOPED_TRACE(copy.name + ", " + std::to_string(c.height) + " x " + std::to_string(c.width) + ", kernel " +
                     std::to_string(c.kernel) + ", type " + std::to_string(static_cast<int>(type)));
        std::vector<float> got = before;
        convolve_with(*copy.table, c, x.data(), packed, {bias.data(), false, true}, got.data());
        for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i] + before[i], tolerance) << i;
        convolve_with(*copy.table, c, x.data(), packed, {bias.data(), true, false}, got.data());
        for (size_t i = 0; i < got.size(); ++i)
          ASSERT_NEAR(got[i], want[i] / (1 + std::exp(-want[i])), tolerance) << i;
      }
      // The whole, in threads.
      std::vector<float> got(before.size());
      if (c.kernel == 1)
        lane_product(x.data(), pixels, packed, {bias.data()}, got.data());
      else
        lane_convolution(x.data(), c.batch, c.height, c.width, false, packed, {bias.data()}, got.data());
      for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], tolerance) << i;
    }
  }
}

}  // namespace
}  // namespace sumi::kernels

// Decoders against the Python package gguf, bit for bit; encoders against their decoders.
#include "kernels/dequantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "base/half.h"
#include "kernels/quantize_reference.h"

namespace sumi::kernels {
namespace {

using Decode = void (*)(const std::byte*, int64_t, float*);
using Encode = void (*)(const float*, int64_t, std::byte*);

struct DecodeCase {
  const char* name;
  Decode decode;
  size_t block, block_bytes;
};

void PrintTo(const DecodeCase& c, std::ostream* out) { *out << c.name; }

class Dequantize : public testing::TestWithParam<DecodeCase> {};

TEST_P(Dequantize, EqualsGgufPackage) {
  const DecodeCase& c = GetParam();
  std::ifstream file(std::string(SUMI_TEST_DATA) + "/formats/dequantize_" + c.name + ".bin",
                     std::ios::binary);
  const std::vector<char> data{std::istreambuf_iterator<char>(file), {}};
  const size_t blocks = data.size() / (c.block_bytes + 4 * c.block);
  ASSERT_GT(blocks, 0u);
  ASSERT_EQ(data.size(), blocks * (c.block_bytes + 4 * c.block));
  std::vector<float> expected(blocks * c.block), found(blocks * c.block, -1e30f);
  std::memcpy(expected.data(), data.data() + blocks * c.block_bytes,
              expected.size() * sizeof(float));
  c.decode(reinterpret_cast<const std::byte*>(data.data()), static_cast<int64_t>(found.size()),
           found.data());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_EQ(expected[i], found[i]) << "weight " << i;
}

INSTANTIATE_TEST_SUITE_P(Formats, Dequantize,
                         testing::Values(DecodeCase{"q4_0", dequantize_q4_0, 32, 18},
                                         DecodeCase{"q4_1", dequantize_q4_1, 32, 20},
                                         DecodeCase{"q5_0", dequantize_q5_0, 32, 22},
                                         DecodeCase{"q5_1", dequantize_q5_1, 32, 24},
                                         DecodeCase{"q8_0", dequantize_q8_0, 32, 34},
                                         DecodeCase{"q2_k", dequantize_q2_k, 256, 84},
                                         DecodeCase{"q3_k", dequantize_q3_k, 256, 110},
                                         DecodeCase{"q4_k", dequantize_q4_k, 256, 144},
                                         DecodeCase{"q5_k", dequantize_q5_k, 256, 176},
                                         DecodeCase{"q6_k", dequantize_q6_k, 256, 210}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Dequantize16, KnownValues) {
  const uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000};
  float out[5];
  dequantize_f16(reinterpret_cast<const std::byte*>(halves), 5, out);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], -2.0f);
  EXPECT_EQ(out[2], 0x1p-24f);
  EXPECT_EQ(out[3], 65504.0f);
  EXPECT_TRUE(out[4] == 0 && std::signbit(out[4]));
  const uint16_t brains[] = {0x3f80, 0xc049, 0x7f80};
  dequantize_bf16(reinterpret_cast<const std::byte*>(brains), 3, out);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], -3.140625f);
  EXPECT_EQ(out[2], std::numeric_limits<float>::infinity());
}

struct EncodeCase {
  const char* name;
  Encode encode;
  Decode decode;
  size_t block, block_bytes;
  // Largest error for standard normal values, as a part of the largest value of the block.
  float bound;
};

void PrintTo(const EncodeCase& c, std::ostream* out) { *out << c.name; }

class Quantize : public testing::TestWithParam<EncodeCase> {
 protected:
  std::vector<float> round_trip(const std::vector<float>& values) const {
    const EncodeCase& c = GetParam();
    std::vector<std::byte> blocks(values.size() / c.block * c.block_bytes, std::byte{0xa5});
    std::vector<float> out(values.size());
    c.encode(values.data(), static_cast<int64_t>(values.size()), blocks.data());
    c.decode(blocks.data(), static_cast<int64_t>(values.size()), out.data());
    return out;
  }
};

TEST_P(Quantize, ErrorIsWithinHalfAStep) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> values(4 * 256);
  for (float& value : values) value = normal(random);
  const std::vector<float> found = round_trip(values);
  const size_t block = GetParam().block;
  for (size_t start = 0; start < values.size(); start += block) {
    float largest = 0, worst = 0;
    for (size_t i = start; i < start + block; ++i) {
      largest = std::max(largest, std::abs(values[i]));
      worst = std::max(worst, std::abs(values[i] - found[i]));
    }
    EXPECT_LE(worst, largest * GetParam().bound) << "block at " << start;
    EXPECT_GT(worst, 0);
  }
}

TEST_P(Quantize, ZerosAndConstantsSurvive) {
  std::vector<float> values(256, 0.0f);
  for (const float value : round_trip(values)) EXPECT_EQ(value, 0.0f);
  std::fill(values.begin(), values.end(), 0.75f);
  for (const float value : round_trip(values)) EXPECT_NEAR(value, 0.75f, 0.75f * GetParam().bound);
  std::fill(values.begin(), values.end(), -1e-30f);  // below the smallest f16
  for (const float value : round_trip(values)) EXPECT_NEAR(value, 0.0f, 1e-7f);
}

// A step is largest/8 (q4_0), (max - min)/15 (q4_1, q4_k), largest/127 (q8_0), largest/31 (q6_k);
// the error is half of it, or for q4_0 a whole one at the end opposite to the extreme. The K
// formats also round their scales.
INSTANTIATE_TEST_SUITE_P(
    Formats, Quantize,
    testing::Values(EncodeCase{"q4_0", quantize_q4_0, dequantize_q4_0, 32, 18, 1 / 7.9f},
                    EncodeCase{"q4_1", quantize_q4_1, dequantize_q4_1, 32, 20, 1 / 14.9f},
                    EncodeCase{"q8_0", quantize_q8_0, dequantize_q8_0, 32, 34, 0.51f / 127},
                    EncodeCase{"q4_k", quantize_q4_k, dequantize_q4_k, 256, 144, 1 / 12.0f},
                    EncodeCase{"q6_k", quantize_q6_k, dequantize_q6_k, 256, 210, 0.55f / 31}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace sumi::kernels

#include "kernels/quantize_reference.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/half.h"

namespace sumi::kernels {

namespace {

constexpr int kBlock = 32, kSuper = 256;

// Stores a scale as f16 and returns what a decoder will read.
float store_half(std::byte* to, float value) {
  const uint16_t bits = base::float_to_f16(value);
  std::memcpy(to, &bits, sizeof bits);
  return base::f16_to_float(bits);
}

float inverse(float scale) {
  const float result = 1 / scale;
  return std::isfinite(result) ? result
                               : 0;  // a scale of 0, or so small that its inverse overflows
}

int round_within(float value, int low, int high) {
  return static_cast<int>(
      std::clamp(std::nearbyint(value), static_cast<float>(low), static_cast<float>(high)));
}

float largest_magnitude(const float* values, int count) {
  float largest = 0;
  for (int i = 0; i < count; ++i) largest = std::max(largest, std::abs(values[i]));
  return largest;
}

void store_nibbles(const std::array<int, kBlock>& codes, std::byte* to) {
  for (int i = 0; i < 16; ++i) to[i] = static_cast<std::byte>(codes[i] | codes[i + 16] << 4);
}

// The low four bits of each code as nibbles, after the fifth bits, one per weight.
void store_five_bits(const std::array<int, kBlock>& codes, std::byte* to) {
  uint32_t high = 0;
  std::array<int, kBlock> low;
  for (int i = 0; i < kBlock; ++i) {
    high |= static_cast<uint32_t>(codes[i] >> 4) << i;
    low[i] = codes[i] & 15;
  }
  std::memcpy(to, &high, sizeof high);
  store_nibbles(low, to + sizeof high);
}

}  // namespace

// The value of largest magnitude, with its sign, gets code 0, which stands for -8.
void quantize_q4_0(const float* values, int64_t count, std::byte* blocks) {
  for (; count > 0; count -= kBlock, values += kBlock, blocks += 18) {
    const float* extreme = std::max_element(
        values, values + kBlock, [](float a, float b) { return std::abs(a) < std::abs(b); });
    const float inverted = inverse(store_half(blocks, *extreme / -8));
    std::array<int, kBlock> codes;
    for (int i = 0; i < kBlock; ++i) codes[i] = round_within(values[i] * inverted, -8, 7) + 8;
    store_nibbles(codes, blocks + 2);
  }
}

void quantize_q4_1(const float* values, int64_t count, std::byte* blocks) {
  for (; count > 0; count -= kBlock, values += kBlock, blocks += 20) {
    const auto [low, high] = std::minmax_element(values, values + kBlock);
    const float inverted = inverse(store_half(blocks, (*high - *low) / 15));
    const float min = store_half(blocks + 2, *low);
    std::array<int, kBlock> codes;
    for (int i = 0; i < kBlock; ++i) codes[i] = round_within((values[i] - min) * inverted, 0, 15);
    store_nibbles(codes, blocks + 4);
  }
}

// As q4_0 with code 0 for -16, and as q4_1 with codes to 31.
void quantize_q5_0(const float* values, int64_t count, std::byte* blocks) {
  for (; count > 0; count -= kBlock, values += kBlock, blocks += 22) {
    const float* extreme = std::max_element(
        values, values + kBlock, [](float a, float b) { return std::abs(a) < std::abs(b); });
    const float inverted = inverse(store_half(blocks, *extreme / -16));
    std::array<int, kBlock> codes;
    for (int i = 0; i < kBlock; ++i) codes[i] = round_within(values[i] * inverted, -16, 15) + 16;
    store_five_bits(codes, blocks + 2);
  }
}

void quantize_q5_1(const float* values, int64_t count, std::byte* blocks) {
  for (; count > 0; count -= kBlock, values += kBlock, blocks += 24) {
    const auto [low, high] = std::minmax_element(values, values + kBlock);
    const float inverted = inverse(store_half(blocks, (*high - *low) / 31));
    const float min = store_half(blocks + 2, *low);
    std::array<int, kBlock> codes;
    for (int i = 0; i < kBlock; ++i) codes[i] = round_within((values[i] - min) * inverted, 0, 31);
    store_five_bits(codes, blocks + 4);
  }
}

void quantize_q8_0(const float* values, int64_t count, std::byte* blocks) {
  for (; count > 0; count -= kBlock, values += kBlock, blocks += 34) {
    const float inverted = inverse(store_half(blocks, largest_magnitude(values, kBlock) / 127));
    for (int i = 0; i < kBlock; ++i)
      blocks[2 + i] = static_cast<std::byte>(round_within(values[i] * inverted, -127, 127));
  }
}

// Per 32 weights a scale and a minimum (not above 0), as six-bit multiples of the block's two f16
// scales.
void quantize_q4_k(const float* values, int64_t count, std::byte* blocks) {
  for (; count > 0; count -= kSuper, values += kSuper, blocks += 144) {
    std::array<float, 8> scales, mins;
    for (int g = 0; g < 8; ++g) {
      const auto [low, high] = std::minmax_element(values + g * kBlock, values + (g + 1) * kBlock);
      mins[g] = std::max(0.0f, -*low);
      scales[g] = (std::max(0.0f, *high) + mins[g]) / 15;
    }
    const float scale = store_half(blocks, *std::max_element(scales.begin(), scales.end()) / 63);
    const float min = store_half(blocks + 2, *std::max_element(mins.begin(), mins.end()) / 63);
    std::memset(blocks + 4, 0, 12 + 128);
    for (int g = 0; g < 8; ++g) {
      const int scale_code = round_within(scales[g] * inverse(scale), 0, 63);
      const int min_code = round_within(mins[g] * inverse(min), 0, 63);
      std::byte* packed = blocks + 4;  // as unpack_k_scale() reads it
      if (g < 4) {
        packed[g] |= static_cast<std::byte>(scale_code);
        packed[g + 4] |= static_cast<std::byte>(min_code);
      } else {
        packed[g + 4] |= static_cast<std::byte>((scale_code & 15) | (min_code & 15) << 4);
        packed[g - 4] |= static_cast<std::byte>(scale_code >> 4 << 6);
        packed[g] |= static_cast<std::byte>(min_code >> 4 << 6);
      }
      const float inverted = inverse(scale * static_cast<float>(scale_code));
      const float group_min = min * static_cast<float>(min_code);
      for (int i = 0; i < kBlock; ++i) {
        const int code = round_within((values[g * kBlock + i] + group_min) * inverted, 0, 15);
        blocks[16 + g / 2 * 32 + i] |= static_cast<std::byte>(code << (g % 2 * 4));
      }
    }
  }
}

// Per 16 weights a signed eight-bit multiple of the block's f16 scale; the largest group scale gets
// 127.
void quantize_q6_k(const float* values, int64_t count, std::byte* blocks) {
  for (; count > 0; count -= kSuper, values += kSuper, blocks += 210) {
    std::memset(blocks, 0, 192);
    const float scale = store_half(blocks + 208, largest_magnitude(values, kSuper) / 31 / 127);
    for (int g = 0; g < 16; ++g) {
      const float group = largest_magnitude(values + g * 16, 16) / 31;
      const int scale_code = round_within(std::ceil(group * inverse(scale)), 0, 127);
      blocks[192 + g] = static_cast<std::byte>(scale_code);
      const float inverted = inverse(scale * static_cast<float>(scale_code));
      for (int j = 0; j < 16; ++j) {
        const int i = g * 16 + j;
        const int code = round_within(values[i] * inverted, -32, 31) + 32;
        blocks[i / 128 * 64 + i % 64] |= static_cast<std::byte>((code & 15) << (i % 128 / 64 * 4));
        blocks[128 + i / 128 * 32 + i % 32] |=
            static_cast<std::byte>(code >> 4 << (i % 128 / 32 * 2));
      }
    }
  }
}

}  // namespace sumi::kernels

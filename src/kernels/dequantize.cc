#include "kernels/dequantize.h"

#include <cstring>

#include "base/half.h"

namespace sumi::kernels {

namespace {

constexpr int kBlock = 32, kSuper = 256;

int byte_at(const std::byte* p, int64_t i) { return std::to_integer<int>(p[i]); }
int signed_at(const std::byte* p, int64_t i) { return static_cast<int8_t>(p[i]); }

float half_at(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return base::f16_to_float(bits);
}

// Code i of 32 four-bit codes in 16 bytes: the low halves are codes 0 to 15, the high ones 16
// to 31.
int nibble(const std::byte* codes, int i) {
  return i < 16 ? byte_at(codes, i) & 15 : byte_at(codes, i - 16) >> 4;
}

// Bit i of 32, at place 4: the top bit of a five-bit code.
int fifth_bit(const std::byte* bits, int i) { return ((byte_at(bits, i / 8) >> (i % 8)) & 1) << 4; }

}  // namespace

// f16 scale, 16 bytes of codes.
void dequantize_q4_0(const std::byte* blocks, int64_t count, float* out) {
  for (; count > 0; count -= kBlock, blocks += 18, out += kBlock) {
    const float scale = half_at(blocks);
    for (int i = 0; i < kBlock; ++i) out[i] = scale * static_cast<float>(nibble(blocks + 2, i) - 8);
  }
}

// f16 scale, f16 minimum, 16 bytes of codes.
void dequantize_q4_1(const std::byte* blocks, int64_t count, float* out) {
  for (; count > 0; count -= kBlock, blocks += 20, out += kBlock) {
    const float scale = half_at(blocks), min = half_at(blocks + 2);
    for (int i = 0; i < kBlock; ++i)
      out[i] = scale * static_cast<float>(nibble(blocks + 4, i)) + min;
  }
}

// f16 scale, 4 bytes of fifth bits, 16 bytes of codes.
void dequantize_q5_0(const std::byte* blocks, int64_t count, float* out) {
  for (; count > 0; count -= kBlock, blocks += 22, out += kBlock) {
    const float scale = half_at(blocks);
    for (int i = 0; i < kBlock; ++i) {
      const int code = nibble(blocks + 6, i) | fifth_bit(blocks + 2, i);
      out[i] = scale * static_cast<float>(code - 16);
    }
  }
}

// f16 scale, f16 minimum, 4 bytes of fifth bits, 16 bytes of codes.
void dequantize_q5_1(const std::byte* blocks, int64_t count, float* out) {
  for (; count > 0; count -= kBlock, blocks += 24, out += kBlock) {
    const float scale = half_at(blocks), min = half_at(blocks + 2);
    for (int i = 0; i < kBlock; ++i) {
      const int code = nibble(blocks + 8, i) | fifth_bit(blocks + 4, i);
      out[i] = scale * static_cast<float>(code) + min;
    }
  }
}

// f16 scale, 32 signed bytes.
void dequantize_q8_0(const std::byte* blocks, int64_t count, float* out) {
  for (; count > 0; count -= kBlock, blocks += 34, out += kBlock) {
    const float scale = half_at(blocks);
    for (int i = 0; i < kBlock; ++i) out[i] = scale * static_cast<float>(signed_at(blocks, 2 + i));
  }
}

// 16 bytes with a scale (low half) and a minimum (high half) for each 16 weights, 64 bytes of
// two-bit codes, f16 scale of the scales, f16 scale of the minima. 32 bytes of codes serve 128
// weights: bits 0-1 the first 32, bits 2-3 the next.
void dequantize_q2_k(const std::byte* blocks, int64_t count, float* out) {
  for (; count > 0; count -= kSuper, blocks += 84, out += kSuper) {
    const std::byte* codes = blocks + 16;
    const float scale = half_at(blocks + 80), min = half_at(blocks + 82);
    for (int i = 0; i < kSuper; ++i) {
      const int packed = byte_at(blocks, i / 16);
      const int code = (byte_at(codes, i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2)) & 3;
      const float group_scale = scale * static_cast<float>(packed & 15);
      const float group_min = min * static_cast<float>(packed >> 4);
      out[i] = group_scale * static_cast<float>(code) - group_min;
    }
  }
}

// 32 bytes of third bits (bit i / 32 of byte i % 32; 0 means minus 4), 64 bytes of two-bit codes as
// in q2_k, 12 bytes with 16 six-bit scales (offset 32), f16 scale of the scales. Of scale g, byte g
// % 8 has the low four bits in half g / 8; byte 8 + g % 4 has the high two at place 2 * (g / 4).
void dequantize_q3_k(const std::byte* blocks, int64_t count, float* out) {
  for (; count > 0; count -= kSuper, blocks += 110, out += kSuper) {
    const std::byte* codes = blocks + 32;
    const std::byte* scales = blocks + 96;
    const float scale = half_at(blocks + 108);
    for (int i = 0; i < kSuper; ++i) {
      const int g = i / 16;
      const int low = (byte_at(scales, g % 8) >> (g / 8 * 4)) & 15;
      const int high = (byte_at(scales, 8 + g % 4) >> (g / 4 * 2)) & 3;
      const int third = (byte_at(blocks, i % 32) >> (i / 32)) & 1;
      const int code = (byte_at(codes, i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2)) & 3;
      const float group_scale = scale * static_cast<float>((low | high << 4) - 32);
      out[i] = group_scale * static_cast<float>(code - (third ? 0 : 4));
    }
  }
}

// Groups 0 to 3: bytes g (scale) and 4 + g (minimum), low six bits. Groups 4 to 7: byte 4 + g has
// the low four bits of both, the top two bits of bytes g - 4 and g their high two.
KScale unpack_k_scale(const std::byte* scales, int group) {
  if (group < 4)
    return {static_cast<uint8_t>(byte_at(scales, group) & 63),
            static_cast<uint8_t>(byte_at(scales, group + 4) & 63)};
  const int both = byte_at(scales, group + 4);
  return {static_cast<uint8_t>((both & 15) | (byte_at(scales, group - 4) >> 6 << 4)),
          static_cast<uint8_t>((both >> 4) | (byte_at(scales, group) >> 6 << 4))};
}

// f16 scale of the scales, f16 scale of the minima, 12 bytes of scales and minima, 128 bytes of
// codes: 32 bytes serve 64 weights, the low halves the first 32.
void dequantize_q4_k(const std::byte* blocks, int64_t count, float* out) {
  for (; count > 0; count -= kSuper, blocks += 144, out += kSuper) {
    const std::byte* codes = blocks + 16;
    const float scale = half_at(blocks), min = half_at(blocks + 2);
    for (int i = 0; i < kSuper; ++i) {
      const KScale group = unpack_k_scale(blocks + 4, i / 32);
      const int code = (byte_at(codes, i / 64 * 32 + i % 32) >> (i % 64 / 32 * 4)) & 15;
      const float group_scale = scale * static_cast<float>(group.scale);
      const float group_min = min * static_cast<float>(group.min);
      out[i] = group_scale * static_cast<float>(code) - group_min;
    }
  }
}

// As q4_k, with 32 bytes of fifth bits (bit i / 32 of byte i % 32) before the codes.
void dequantize_q5_k(const std::byte* blocks, int64_t count, float* out) {
  for (; count > 0; count -= kSuper, blocks += 176, out += kSuper) {
    const std::byte* fifths = blocks + 16;
    const std::byte* codes = blocks + 48;
    const float scale = half_at(blocks), min = half_at(blocks + 2);
    for (int i = 0; i < kSuper; ++i) {
      const KScale group = unpack_k_scale(blocks + 4, i / 32);
      const int low = (byte_at(codes, i / 64 * 32 + i % 32) >> (i % 64 / 32 * 4)) & 15;
      const int code = low | ((byte_at(fifths, i % 32) >> (i / 32)) & 1) << 4;
      const float group_scale = scale * static_cast<float>(group.scale);
      const float group_min = min * static_cast<float>(group.min);
      out[i] = group_scale * static_cast<float>(code) - group_min;
    }
  }
}

// 128 bytes of low four bits (64 bytes serve 128 weights, low halves the first 64), 64 bytes of
// high two bits (as codes of q2_k), 16 signed scales, one for each 16 weights, f16 scale of the
// scales. Codes have offset 32.
void dequantize_q6_k(const std::byte* blocks, int64_t count, float* out) {
  for (; count > 0; count -= kSuper, blocks += 210, out += kSuper) {
    const std::byte* highs = blocks + 128;
    const float scale = half_at(blocks + 208);
    for (int i = 0; i < kSuper; ++i) {
      const int low = (byte_at(blocks, i / 128 * 64 + i % 64) >> (i % 128 / 64 * 4)) & 15;
      const int high = (byte_at(highs, i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2)) & 3;
      const float group_scale = scale * static_cast<float>(signed_at(blocks, 192 + i / 16));
      out[i] = group_scale * static_cast<float>((low | high << 4) - 32);
    }
  }
}

void dequantize_f16(const std::byte* blocks, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = half_at(blocks + 2 * i);
}

void dequantize_bf16(const std::byte* blocks, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, blocks + 2 * i, sizeof bits);
    out[i] = base::bf16_to_float(bits);
  }
}

}  // namespace sumi::kernels

#include "kernels/unpack_block.h"

#include <cstring>

namespace sumi::kernels {

namespace {

uint16_t half_at(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return bits;
}

// 16 bytes of two codes each: the low halves are weights 0..15, the high halves 16..31.
void split_nibbles(const uint8_t* __restrict packed, uint8_t* __restrict codes) {
  for (int j = 0; j < 16; ++j) {
    codes[j] = packed[j] & 15;
    codes[j + 16] = packed[j] >> 4;
  }
}

void flip_signs(const uint8_t* __restrict from, uint8_t* __restrict codes) {
  for (int j = 0; j < 32; ++j) codes[j] = from[j] ^ 0x80;
}

void add_fifth_bit(const uint8_t* packed, uint8_t* codes) {
  uint32_t bits;
  std::memcpy(&bits, packed, 4);
  for (int j = 0; j < 32; ++j) codes[j] = static_cast<uint8_t>(codes[j] | (((bits >> j) & 1) << 4));
}

// 6-bit scale and min number j of the 8 in the 12 bytes of Q4_K and Q5_K.
void scale_min_k4(const uint8_t* packed, int64_t j, uint8_t& scale, uint8_t& min) {
  if (j < 4) {
    scale = packed[j] & 63;
    min = packed[j + 4] & 63;
  } else {
    scale = static_cast<uint8_t>((packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4));
    min = static_cast<uint8_t>((packed[j + 4] >> 4) | ((packed[j] >> 6) << 4));
  }
}

// 6-bit scale number j of the 16 in the 12 bytes of Q3_K, less 32.
uint8_t scale_k3(const uint8_t* packed, int64_t j) {
  const int low = (packed[j % 8] >> (4 * (j / 8))) & 15;
  const int high = (packed[8 + j % 4] >> (2 * (j / 4))) & 3;
  return static_cast<uint8_t>((low | high << 4) - 32);
}

}  // namespace

void unpack_block(SourceKind kind, const std::byte* row, int64_t block, uint8_t* codes, UnpackedBlock& out) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(row);
  const int64_t super = block / 8, sub = block % 8;  // K types: 8 blocks of 32 in 256
  const int64_t half = sub / 4, quarter = sub % 4;
  switch (kind) {
    case SourceKind::f32:
    case SourceKind::f16:
    case SourceKind::bf16: return;
    case SourceKind::q4_0: {
      const uint8_t* b = bytes + block * 18;
      out.scale = half_at(b);
      split_nibbles(b + 2, codes);
      return;
    }
    case SourceKind::q4_1: {
      const uint8_t* b = bytes + block * 20;
      out.scale = half_at(b);
      out.min = half_at(b + 2);
      split_nibbles(b + 4, codes);
      return;
    }
    case SourceKind::q5_0: {
      const uint8_t* b = bytes + block * 22;
      out.scale = half_at(b);
      split_nibbles(b + 6, codes);
      add_fifth_bit(b + 2, codes);
      return;
    }
    case SourceKind::q5_1: {
      const uint8_t* b = bytes + block * 24;
      out.scale = half_at(b);
      out.min = half_at(b + 2);
      split_nibbles(b + 8, codes);
      add_fifth_bit(b + 4, codes);
      return;
    }
    case SourceKind::q8_0: {
      const uint8_t* b = bytes + block * 34;
      out.scale = half_at(b);
      flip_signs(b + 2, codes);
      return;
    }
    case SourceKind::q2_k: {
      const uint8_t* b = bytes + super * 84;
      out.scale = half_at(b + 80);
      out.min = half_at(b + 82);
      for (int i = 0; i < 2; ++i) {
        out.sub_scale[i] = b[2 * sub + i] & 15;
        out.sub_min[i] = b[2 * sub + i] >> 4;
      }
      for (int j = 0; j < 32; ++j) codes[j] = (b[16 + 32 * half + j] >> (2 * quarter)) & 3;
      return;
    }
    case SourceKind::q3_k: {
      const uint8_t* b = bytes + super * 110;
      out.scale = half_at(b + 108);
      for (int i = 0; i < 2; ++i) out.sub_scale[i] = scale_k3(b + 96, 2 * sub + i);
      for (int j = 0; j < 32; ++j) {
        const int low = (b[32 + 32 * half + j] >> (2 * quarter)) & 3;
        codes[j] = static_cast<uint8_t>(low | (((b[j] >> sub) & 1) << 2));
      }
      return;
    }
    case SourceKind::q4_k:
    case SourceKind::q5_k: {
      const bool fifth = kind == SourceKind::q5_k;
      const uint8_t* b = bytes + super * (fifth ? 176 : 144);
      out.scale = half_at(b);
      out.min = half_at(b + 2);
      scale_min_k4(b + 4, sub, out.sub_scale[0], out.sub_min[0]);
      const uint8_t* low = b + (fifth ? 48 : 16) + 32 * (sub / 2);
      for (int j = 0; j < 32; ++j) codes[j] = sub % 2 ? low[j] >> 4 : low[j] & 15;
      if (fifth)
        for (int j = 0; j < 32; ++j)
          codes[j] = static_cast<uint8_t>(codes[j] | (((b[16 + j] >> sub) & 1) << 4));
      return;
    }
    case SourceKind::q6_k: {
      const uint8_t* b = bytes + super * 210;
      out.scale = half_at(b + 208);
      for (int i = 0; i < 2; ++i) out.sub_scale[i] = b[192 + 2 * sub + i];
      const uint8_t* low = b + 64 * half + 32 * (quarter % 2);
      const uint8_t* high = b + 128 + 32 * half;
      for (int j = 0; j < 32; ++j) {
        const int nibble = quarter < 2 ? low[j] & 15 : low[j] >> 4;
        codes[j] = static_cast<uint8_t>(nibble | (((high[j] >> (2 * quarter)) & 3) << 4));
      }
      return;
    }
  }
}

}  // namespace sumi::kernels

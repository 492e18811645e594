// Conversions between float and the two 16-bit types, as stored bits. Plain C++, exact.
#pragma once

#include <bit>
#include <cstdint>

namespace sumi::base {

inline float bf16_to_float(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// Rounds to nearest even; keeps NaN a NaN.
inline uint16_t float_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline float f16_to_float(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t exponent = (half >> 10) & 0x1f, mantissa = half & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000 | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // subnormal, exact
  return sign ? -magnitude : magnitude;
}

// Rounds to nearest even; overflow gives infinity.
inline uint16_t float_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x47800000) return static_cast<uint16_t>(sign | 0x7c00);  // 2^16 and more
  if (magnitude < 0x38800000) {  // below 2^-14: subnormal; adding 0.5 aligns the bits and rounds
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1) - (uint32_t{112} << 23);
  return static_cast<uint16_t>(sign | (rounded >> 13));
}

// Whether the 16 bits above, or those of an f16, say all there is to say of a float: nothing is rounded away.
inline bool is_bf16(float value) { return (std::bit_cast<uint32_t>(value) & 0xffff) == 0; }
inline bool is_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return (bits & 0x1fff) == 0 && std::bit_cast<uint32_t>(f16_to_float(float_to_f16(value))) == bits;
}

}  // namespace sumi::base

// Block-wise 8-bit numbers with a dynamic exponent, arXiv:2110.02861: each block of kEightBitBlock
// values is divided by its largest magnitude and rounded to the nearest of 256 fixed numbers, which
// are dense near zero.
#pragma once

#include <array>
#include <cstdint>

namespace sumi::train {

inline constexpr int64_t kEightBitBlock = 256;

// Rising; from -1 to 1 if is_signed, else from 0 to 1. Values as bitsandbytes' create_dynamic_map.
const std::array<float, 256>& eight_bit_values(bool is_signed);

uint8_t nearest_eight_bit(float value, bool is_signed);  // value in [-1, 1]

// count <= kEightBitBlock values.
void read_block(const uint8_t* codes, float scale, bool is_signed, int64_t count, float* out);
// Returns the block's scale.
float write_block(const float* values, bool is_signed, int64_t count, uint8_t* codes);

}  // namespace sumi::train

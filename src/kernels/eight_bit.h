// Block-wise 8-bit numbers with a dynamic exponent, arXiv:2110.02861: each block of kEightBitBlock
// values is divided by its largest magnitude and rounded to the nearest of 256 fixed numbers, which
// are dense near zero.
#pragma once

#include <array>
#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

inline constexpr int64_t kEightBitBlock = 256;
inline constexpr int kEightBitDecades = 7;

// Rising; from -1 to 1 if is_signed, else from 0 to 1. Values as bitsandbytes' create_dynamic_map.
const std::array<float, 256>& eight_bit_values(bool is_signed);

uint8_t nearest_eight_bit(float value, bool is_signed);  // value in [-1, 1]

// Pieces that the magnitudes of decade i, [10^(i - 6) / 10, 10^(i - 6)], are cut into; numbers are their middles.
constexpr int eight_bit_pieces(int decade, bool is_signed) { return is_signed ? 1 << decade : 2 << decade; }

struct EightBitKernels {
  // count <= kEightBitBlock values: the fixed numbers times scale, but for rounding.
  void (*read)(const uint8_t* codes, float scale, bool is_signed, int64_t count, float* out);
  // Returns the block's scale. Of two numbers that are as near, but for rounding, either.
  float (*write)(const float* values, bool is_signed, int64_t count, uint8_t* codes);
};

const EightBitKernels& eight_bit_kernels();  // for base::active_isa()
const EightBitKernels& eight_bit_kernels_for(base::Isa isa);

}  // namespace sumi::kernels

// Products of activations with packed weights: y[M, N] = x[M, K] W[N, K]^T + bias.
#pragma once

#include <cstdint>

#include "base/cpu.h"
#include "kernels/packed_matrix.h"

namespace sumi::kernels {

// Rows of activations rounded to int8 in blocks of kBlock: x = scale * code, scale = max|x| / 127 with the last two bits of
// its fraction cut off, so that shifts are exact. K is a multiple of kBlock. Row r starts at codes + r * k, scales and
// shifts + r * k / 32, sums and scaled_sums + r * k / 32 * 3.
struct QuantizedRows {
  int8_t* codes = nullptr;
  float* scales = nullptr;
  float* shifts = nullptr;       // -1.5 * 2^23 times the scale (kSumBias)
  int32_t* sums = nullptr;       // per block: of the first 16 codes, of the last 16, of all; for zero points
  float* scaled_sums = nullptr;  // the same times the scale; for mins
  // Where MatmulKernels::code_groups asks for it, rows come in groups of kGroupRows, and what a kernel takes of a block and a
  // group lies together: codes [groups][k / 32][kGroupRows][32], sums [groups][k / 32][3][kGroupRows], and in place of the
  // floats group_factors [groups][k / 32][kGroupFactors][kGroupRows]: scale, shift, the three scaled sums.
  float* group_factors = nullptr;
  // Where MatmulKernels::code_tiles asks for it: the scales and scaled sums again, side by side for the rows of a tile, and
  // memory for whole tiles of rows in `codes`, too. What lies behind the last row is read and has no effect.
  float* tile_scales = nullptr;       // [tiles][k / 32][kTileRows]
  float* tile_scaled_sums = nullptr;  // [tiles][k / 32][3][kTileRows]
};

// Rows of activations that levels with tiles (AMX) take together, and k of a tile of bf16.
inline constexpr int64_t kTileRows = 16, kTileColumns = 32;

// Rows of activations that vectors take together from kFewestGrouped on, and floats of each for a block of codes.
inline constexpr int64_t kGroupRows = 6, kFewestGrouped = 12, kGroupFactors = 5;

// What exact sums begin with where weights have a zero point: out = first - zero_point * sums, laid out as the
// `count` sums.
void zero_point_offsets(const int32_t* sums, int64_t count, int zero_point, int32_t first, int32_t* out);

// The bits of the float 1.5 * 2^23. An exact sum of a block that begins with them are the bits of the float that is larger
// than it by 1.5 * 2^23: one multiply-add, by a scale and its shift, then converts and scales it.
inline constexpr int32_t kSumBias = 0x4b400000;
inline constexpr float kSumBiasValue = 12582912;

struct MatmulArgs {
  PackedMatrix weight;
  int64_t m = 0;
  const float* x = nullptr;    // rows of floats, k apart: f32, f16 and bf16 weights
  const float* x_groups = nullptr;  // the same as UnpackKernels::group_rows lays them out, or null: unpacked_product
  const uint16_t* x_bf16 = nullptr;  // the same rounded, ceil(k/2)*2 apart: bf16 weights where bf16_row is there
  // The same in tiles of one kilobyte, [tiles][ceil(k / 32)][kTileRows][32] with zeros behind k: where bf16_tile_row is
  // there. Memory is for whole tiles; what lies behind the last row is read and has no effect.
  const uint16_t* x_tiles = nullptr;
  QuantizedRows q;             // whole-number codes
  const int32_t* offsets = nullptr;  // zero_point_offsets() for this weight, where it has a zero point
  float* y = nullptr;
  int64_t ldy = 0;             // floats between rows of y
  const float* bias = nullptr; // [n] or null
  int64_t ahead = 0;           // this thread will go on to that panel: weights up to it are asked for early; 0: none are
};

struct MatmulKernels {
  // Computes the outputs of panels [begin, end), for all m rows.
  void (*matmul)(const MatmulArgs& args, int64_t begin, int64_t end);
  // Quantizes row `row` of x into its place in q.
  void (*quantize_row)(const float* x, int64_t k, int64_t row, const QuantizedRows& q);
  // Rounds a row to bf16 for MatmulArgs::x_bf16, with a zero behind an odd k. Null: this level multiplies no pairs.
  void (*bf16_row)(const float* x, int64_t k, uint16_t* to);
  // Rounds row `row` of x into its place in MatmulArgs::x_tiles. Null: this level has no tiles.
  void (*bf16_tile_row)(const float* x, int64_t k, int64_t row, uint16_t* tiles);
  bool code_tiles;   // kTileRows or more rows of whole-number codes go in tiles
  bool code_groups;  // kFewestGrouped or more, and not in tiles, go in groups
  int32_t first_sum;  // `first` of zero_point_offsets: kSumBias where sums are read as floats, or 0
};

const MatmulKernels& matmul_kernels();  // for base::active_isa()
const MatmulKernels& matmul_kernels_for(base::Isa isa);

// The naive twin: dequantizes one weight at a time; float weights accumulate in double. Whole-number codes follow
// the definition above with the quantized activations, blocks in double.
void matmul_naive(const MatmulArgs& args);

}  // namespace sumi::kernels

// Products of activations with packed weights: y[M, N] = x[M, K] W[N, K]^T + bias.
#pragma once

#include <cstdint>

#include "base/cpu.h"
#include "kernels/packed_matrix.h"

namespace sumi::kernels {

// Rows of activations rounded to int8 in blocks of kBlock: x = scale * code, scale = max|x| / 127. K is a multiple of
// kBlock. Row r starts at codes + r * k, scales + r * k / 32, sums and scaled_sums + r * k / 32 * 3.
struct QuantizedRows {
  int8_t* codes = nullptr;
  float* scales = nullptr;
  int32_t* sums = nullptr;       // per block: of the first 16 codes, of the last 16, of all; for zero points
  float* scaled_sums = nullptr;  // the same times the scale; for mins
  // Where MatmulKernels::code_tiles asks for it: the scales and scaled sums again, side by side for the rows of a tile, and
  // memory for whole tiles of rows in `codes`, too. What lies behind the last row is read and has no effect.
  float* tile_scales = nullptr;       // [tiles][k / 32][kTileRows]
  float* tile_scaled_sums = nullptr;  // [tiles][k / 32][3][kTileRows]
};

// Rows of activations that levels with tiles (AMX) take together, and k of a tile of bf16.
inline constexpr int64_t kTileRows = 16, kTileColumns = 32;

// What the weights' zero point adds to exact sums: out = -zero_point * sums, laid out as the sums of `rows` rows.
void zero_point_offsets(const QuantizedRows& q, int64_t rows, int64_t k, int zero_point, int32_t* out);

struct MatmulArgs {
  PackedMatrix weight;
  int64_t m = 0;
  const float* x = nullptr;    // rows of floats, k apart: f32, f16 and bf16 weights
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
  bool code_tiles;  // kTileRows or more rows of whole-number codes go in tiles
};

const MatmulKernels& matmul_kernels();  // for base::active_isa()
const MatmulKernels& matmul_kernels_for(base::Isa isa);

// The naive twin: dequantizes one weight at a time; float weights accumulate in double. Whole-number codes follow
// the definition above with the quantized activations, blocks in double.
void matmul_naive(const MatmulArgs& args);

}  // namespace sumi::kernels

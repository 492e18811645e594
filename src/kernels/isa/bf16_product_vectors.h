// Sums of packed factors (kernels/bf16_product.h) by vectors: each lane of one is a column of c and takes a pair of k
// at a time. 8 rows by two vectors of c stay in registers.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/bf16_product.h"
#include "kernels/isa/bf16_dot.h"
#include "kernels/isa/tiles.h"

#if defined(SUMI_BF16) && !defined(SUMI_AMX)

namespace sumi::kernels::SUMI_ISA {
namespace {

constexpr int kRowsAtOnce = 8;
constexpr int64_t kStepsAtOnce = 24;  // of K, between two visits of c: 256 rows of them stay in the second cache
constexpr int64_t kHalf = kProductPiece / 2;  // elements of a piece's 16 rows or columns
constexpr int64_t kWidth = Vec::kWidth;
static_assert(kProductStrip == 2 * kWidth);

// c [kRowsAtOnce, kVectors * 16] = (accumulate ? c : 0) + a b over `steps` steps: a in rows of a step, b in pairs of k.
template <int kVectors>
inline void add_block(const uint16_t* a, const uint16_t* b, int64_t steps, float* c, int64_t ldc, bool accumulate) {
  Vec sum[kRowsAtOnce][kVectors];
#pragma GCC unroll 8
  for (int64_t r = 0; r < kRowsAtOnce; ++r)
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) sum[r][v] = accumulate ? Vec::load(c + r * ldc + v * kWidth) : Vec::zero();
  for (int64_t step = 0; step < steps; ++step, a += kProductPiece, b += kProductPiece) {
    const SpreadRows<kRowsAtOnce, kProductStep> rows(a, kProductStep);
#pragma GCC unroll 4
    for (int64_t pair = 0; pair < kProductStep / 2; ++pair) {
      const void* columns[kVectors];
#pragma GCC unroll 2
      for (int64_t v = 0; v < kVectors; ++v) columns[v] = b + v * kHalf + pair * 2 * kWidth;
      add_pairs(rows.at(2 * pair), rows.stride(), columns, sum);
    }
  }
#pragma GCC unroll 8
  for (int64_t r = 0; r < kRowsAtOnce; ++r)
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) sum[r][v].store(c + r * ldc + v * kWidth);
}

// The same for a block that hangs over the edge of c: only [rows, columns] of it are read and written.
template <int kVectors>
void add_edge(const uint16_t* a, const uint16_t* b, int64_t steps, float* c, int64_t ldc, bool accumulate,
              int64_t rows, int64_t columns) {
  constexpr int64_t kColumns = kVectors * kWidth;
  float block[kRowsAtOnce * kColumns] = {};
  if (accumulate)
    for (int64_t r = 0; r < rows; ++r) std::copy_n(c + r * ldc, columns, block + r * kColumns);
  add_block<kVectors>(a, b, steps, block, kColumns, accumulate);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(block + r * kColumns, columns, c + r * ldc);
}

// A strip of columns stays in the caches while rows pass by.
void multiply(const Bf16ProductKernels::Product& p, int64_t row_begin, int64_t row_end, int64_t column_begin,
              int64_t column_end) {
  const int64_t first_row = row_begin * kProductStrip, end_row = std::min(p.m, row_end * kProductStrip);
  for (int64_t step = 0; step < p.steps; step += kStepsAtOnce) {
    const int64_t steps = std::min(kStepsAtOnce, p.steps - step);
    const bool accumulate = p.accumulate || step > 0;
    for (int64_t strip = column_begin; strip < column_end; ++strip) {
      const uint16_t* b = p.b + (strip * p.steps + step) * kProductPiece;
      const int64_t column = strip * kProductStrip, columns = std::min(kProductStrip, p.n - column);
      for (int64_t row = first_row; row < end_row; row += kRowsAtOnce) {
        const uint16_t* a = p.a + (row / kProductStrip * p.steps + step) * kProductPiece +
                            row % kProductStrip * kProductStep;
        float* c = p.c + row * p.ldc + column;
        const int64_t rows = std::min<int64_t>(kRowsAtOnce, end_row - row);
        if (rows == kRowsAtOnce && columns == kProductStrip) add_block<2>(a, b, steps, c, p.ldc, accumulate);
        else if (columns > kWidth) add_edge<2>(a, b, steps, c, p.ldc, accumulate, rows, columns);
        else add_edge<1>(a, b, steps, c, p.ldc, accumulate, rows, columns);
      }
    }
  }
}

}  // namespace
}  // namespace sumi::kernels::SUMI_ISA

#endif

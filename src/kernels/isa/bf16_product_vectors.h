// Sums of packed factors (kernels/bf16_product.h) by vectors: each lane of one is a column of c and takes a pair of k
// at a time. 8 rows by two vectors of c stay in registers, or 12 where pairs are multiplied as floats, which are widened
// once for all columns.
#pragma once

#include <algorithm>
#include <cstring>

#include "base/round_up.h"
#include "kernels/bf16_product.h"
#include "kernels/isa/bf16_dot.h"
#include "kernels/isa/tiles.h"

#if defined(SUMI_BF16) && !defined(SUMI_AMX)

namespace sumi::kernels::SUMI_ISA {
namespace {

constexpr int64_t kStepsAtOnce = 24;  // of K, between two visits of c: 256 rows of them stay in the second cache
constexpr int64_t kHalf = kProductPiece / 2;  // elements of a piece's 16 rows or columns
constexpr int64_t kWidth = Vec::kWidth;
static_assert(kProductStrip == 2 * kWidth);

// Rows of a: numbers of a step lie together.
struct SpreadBlock {
  const Spread* at;
  int64_t row, step;  // from one to the next
};

// c [kRows, kVectors * 16] = (accumulate ? c : 0) + a b over `steps` steps, b in pairs of k.
template <int kRows, int kVectors>
inline void add_block(SpreadBlock a, const uint16_t* b, int64_t steps, float* c, int64_t ldc, bool accumulate) {
  Vec sum[kRows][kVectors];
#pragma GCC unroll 12
  for (int64_t r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) sum[r][v] = accumulate ? Vec::load(c + r * ldc + v * kWidth) : Vec::zero();
  for (int64_t step = 0; step < steps; ++step, a.at += a.step, b += kProductPiece)
#pragma GCC unroll 4
    for (int64_t pair = 0; pair < kProductStep / 2; ++pair) {
      const void* columns[kVectors];
#pragma GCC unroll 2
      for (int64_t v = 0; v < kVectors; ++v) columns[v] = b + v * kHalf + pair * 2 * kWidth;
      add_pairs(a.at + 2 * pair, a.row, columns, sum);
    }
#pragma GCC unroll 12
  for (int64_t r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) sum[r][v].store(c + r * ldc + v * kWidth);
}

// The same for a block that hangs over the edge of c: only [rows, columns] of it are read and written.
template <int kRows, int kVectors>
void add_edge(SpreadBlock a, const uint16_t* b, int64_t steps, float* c, int64_t ldc, bool accumulate, int64_t rows,
              int64_t columns) {
  constexpr int64_t kColumns = kVectors * kWidth;
  float block[kRows * kColumns] = {};
  if (accumulate)
    for (int64_t r = 0; r < rows; ++r) std::copy_n(c + r * ldc, columns, block + r * kColumns);
  add_block<kRows, kVectors>(a, b, steps, block, kColumns, accumulate);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(block + r * kColumns, columns, c + r * ldc);
}

// Rows [row, row + rows) of c and a strip of columns, over [step, step + steps).
template <int kRows>
void add_strip(const Bf16ProductKernels::Product& p, SpreadBlock a, int64_t row, int64_t rows, int64_t strip, int64_t step,
               int64_t steps) {
  const uint16_t* b = p.b + (strip * p.steps + step) * kProductPiece;
  const int64_t column = strip * kProductStrip, columns = std::min(kProductStrip, p.n - column);
  float* c = p.c + row * p.ldc + column;
  const bool accumulate = p.accumulate || step > 0;
  if (rows == kRows && columns == kProductStrip) add_block<kRows, 2>(a, b, steps, c, p.ldc, accumulate);
  else if (columns > kWidth) add_edge<kRows, 2>(a, b, steps, c, p.ldc, accumulate, rows, columns);
  else add_edge<kRows, 1>(a, b, steps, c, p.ldc, accumulate, rows, columns);
}

inline const uint16_t* packed_row(const Bf16ProductKernels::Product& p, int64_t row, int64_t step) {
  return p.a + (row / kProductStrip * p.steps + step) * kProductPiece + row % kProductStrip * kProductStep;
}

#if defined(SUMI_BF16_DOT)

// A strip of columns stays in the caches while rows pass by.
void multiply(const Bf16ProductKernels::Product& p, int64_t row_begin, int64_t row_end, int64_t column_begin,
              int64_t column_end) {
  constexpr int kRowsAtOnce = 8;
  const int64_t end = std::min(p.m, row_end * kProductStrip);
  for (int64_t step = 0; step < p.steps; step += kStepsAtOnce) {
    const int64_t steps = std::min(kStepsAtOnce, p.steps - step);
    for (int64_t strip = column_begin; strip < column_end; ++strip)
      for (int64_t row = row_begin * kProductStrip; row < end; row += kRowsAtOnce)
        add_strip<kRowsAtOnce>(p, {packed_row(p, row, step), kProductStep, kProductPiece}, row,
                               std::min<int64_t>(kRowsAtOnce, end - row), strip, step, steps);
  }
}

#else

// Rows are widened into the first cache while strips of columns pass by.
void multiply(const Bf16ProductKernels::Product& p, int64_t row_begin, int64_t row_end, int64_t column_begin,
              int64_t column_end) {
  constexpr int64_t kRowsAtOnce = 12, kDepth = kStepsAtOnce * kProductStep;
  alignas(64) float wide[kRowsAtOnce * kDepth];
  const int64_t end = std::min(p.m, row_end * kProductStrip);
  for (int64_t step = 0; step < p.steps; step += kStepsAtOnce) {
    const int64_t steps = std::min(kStepsAtOnce, p.steps - step);
    for (int64_t row = row_begin * kProductStrip; row < end; row += kRowsAtOnce) {
      const int64_t rows = std::min(kRowsAtOnce, end - row);
      for (int64_t r = 0; r < rows; ++r) {
        const uint16_t* from = packed_row(p, row + r, step);
        float* to = wide + r * kDepth;
        for (int64_t s = 0; s < steps; ++s, from += kProductPiece, to += kProductStep) {
          load_bf16(from).store(to);
          load_bf16(from + kWidth).store(to + kWidth);
        }
      }
      for (int64_t r = rows; r < base::round_up(rows, 4); ++r) std::memset(wide + r * kDepth, 0, kDepth * sizeof(float));
      const SpreadBlock a{wide, kDepth, kProductStep};
      for (int64_t strip = column_begin; strip < column_end; ++strip) {
        if (rows > 8) add_strip<12>(p, a, row, rows, strip, step, steps);
        else if (rows > 4) add_strip<8>(p, a, row, rows, strip, step, steps);
        else add_strip<4>(p, a, row, rows, strip, step, steps);
      }
    }
  }
}

#endif

}  // namespace
}  // namespace sumi::kernels::SUMI_ISA

#endif

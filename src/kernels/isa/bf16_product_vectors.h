// Sums of packed factors (kernels/bf16_product.h) by vectors, each lane of which is a column of c: 8 rows by two vectors of c
// stay in registers where an instruction multiplies pairs of k, or 12 rows where floats are multiplied.
#pragma once

#include <algorithm>

#include "kernels/bf16_product.h"
#include "kernels/isa/bf16_dot.h"
#include "kernels/isa/bf16_product_floats.h"
#include "kernels/isa/bf16_product_pairs.h"

#if defined(SUMI_BF16) && !defined(SUMI_AMX)

namespace sumi::kernels::SUMI_ISA {
namespace {

constexpr bool kSharesFactors = false;
constexpr int64_t kWidth = Vec::kWidth;
static_assert(kProductStrip == 2 * kWidth);

constexpr int64_t kStepsAtOnce = 24;  // of K, between two visits of c: 256 rows of them stay in the second cache

// sum += a step of a times one of b.
#if defined(SUMI_BF16_DOT)
constexpr int64_t kRowsAtOnce = 8;

template <int kRows, int kVectors>
inline void add_step(const uint16_t* a, const uint16_t* b, Vec (&sum)[kRows][kVectors]) {
#pragma GCC unroll 4
  for (int64_t pair = 0; pair < kProductStep / 2; ++pair) {
    const void* columns[kVectors];
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) columns[v] = b + v * kTile + pair * 2 * kWidth;
    add_pairs(a + 2 * pair, kProductStep, columns, sum);
  }
}
#else
constexpr int64_t kRowsAtOnce = kRowStrip;

template <int kRows, int kVectors>
inline void add_step(const float* a, const float* b, Vec (&sum)[kRows][kVectors]) {
#pragma GCC unroll 4
  for (int64_t k = 0; k < kProductStep; ++k, ++a, b += kProductStrip) {
    Vec columns[kVectors];
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) columns[v] = Vec::load(b + v * kWidth);
    add_spread(a, kProductStep, columns, sum);
  }
}
#endif

// c [kRows, kVectors * 16] = (accumulate ? c : 0) + a b over `steps` steps.
template <int kRows, int kVectors>
inline void add_block(const PackedNumber* a, const PackedNumber* b, int64_t steps, float* c, int64_t ldc, bool accumulate) {
  Vec sum[kRows][kVectors];
#pragma GCC unroll 12
  for (int64_t r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) sum[r][v] = accumulate ? Vec::load(c + r * ldc + v * kWidth) : Vec::zero();
  for (int64_t step = 0; step < steps; ++step, a += kRowStrip * kProductStep, b += kProductPiece) add_step(a, b, sum);
#pragma GCC unroll 12
  for (int64_t r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) sum[r][v].store(c + r * ldc + v * kWidth);
}

// The same for a block that hangs over the edge of c: only [rows, columns] of it are read and written.
template <int kRows, int kVectors>
void add_edge(const PackedNumber* a, const PackedNumber* b, int64_t steps, float* c, int64_t ldc, bool accumulate,
              int64_t rows, int64_t columns) {
  constexpr int64_t kColumns = kVectors * kWidth;
  float block[kRows * kColumns] = {};
  if (accumulate)
    for (int64_t r = 0; r < rows; ++r) std::copy_n(c + r * ldc, columns, block + r * kColumns);
  add_block<kRows, kVectors>(a, b, steps, block, kColumns, accumulate);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(block + r * kColumns, columns, c + r * ldc);
}

// Rows [row, row + rows) of c and a strip of columns, over [step, step + steps).
template <int kRows>
void add_rows(const Bf16ProductKernels::Product& p, int64_t row, int64_t rows, int64_t strip, int64_t step, int64_t steps) {
  const auto* a = reinterpret_cast<const PackedNumber*>(p.a) +
                  (row / kRowStrip * p.steps + step) * kRowStrip * kProductStep + row % kRowStrip * kProductStep;
  const auto* b = reinterpret_cast<const PackedNumber*>(p.b) + (strip * p.steps + step) * kProductPiece;
  const int64_t column = strip * kProductStrip, columns = std::min(kProductStrip, p.n - column);
  float* c = p.c + row * p.ldc + column;
  const bool accumulate = p.accumulate || step > 0;
  if (rows == kRows && columns == kProductStrip) add_block<kRows, 2>(a, b, steps, c, p.ldc, accumulate);
  else if (columns > kWidth) add_edge<kRows, 2>(a, b, steps, c, p.ldc, accumulate, rows, columns);
  else add_edge<kRows, 1>(a, b, steps, c, p.ldc, accumulate, rows, columns);
}

void multiply(const Bf16ProductKernels::Product& p, int64_t row_begin, int64_t row_end, int64_t column_begin,
              int64_t column_end) {
  const int64_t end = std::min(p.m, row_end * kRowStrip);
  const int64_t stretches = (p.steps + kStepsAtOnce - 1) / kStepsAtOnce;
  const int64_t at_once = (p.steps + stretches - 1) / stretches;
  for (int64_t step = 0; step < p.steps; step += at_once) {
    const int64_t steps = std::min(at_once, p.steps - step);
    for (int64_t strip = column_begin; strip < column_end; ++strip)
      for (int64_t row = row_begin * kRowStrip; row < end; row += kRowsAtOnce) {
        const int64_t rows = std::min(kRowsAtOnce, end - row);
        if (rows > 8) add_rows<kRowsAtOnce>(p, row, rows, strip, step, steps);
        else if (rows > 4) add_rows<8>(p, row, rows, strip, step, steps);
        else add_rows<4>(p, row, rows, strip, step, steps);
      }
  }
}

}  // namespace
}  // namespace sumi::kernels::SUMI_ISA

#endif

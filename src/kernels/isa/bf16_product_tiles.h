// Sums of packed factors (kernels/bf16_product.h) by AMX tiles: four tiles of c at a time.
#pragma once

#include <algorithm>

#include "kernels/bf16_product.h"
#include "kernels/isa/bf16_product_pairs.h"
#include "kernels/isa/tiles.h"

#if defined(SUMI_AMX)

namespace sumi::kernels::SUMI_ISA {
namespace {

// A tile of c: in place, or where it hangs over the edge by way of memory of its own.
struct SumTile {
  float* c;
  int64_t ldc, rows, columns;
  bool whole() const { return rows >= 16 && columns >= 16; }
  bool empty() const { return rows <= 0 || columns <= 0; }
};

template <int kAt>
inline void begin_sum(const SumTile& t, bool accumulate) {
  if (!accumulate || t.empty()) return tile_zero<kAt>();
  if (t.whole()) return tile_load<kAt>(t.c, 4 * t.ldc);
  alignas(64) float edge[16][16] = {};
  for (int64_t r = 0; r < std::min<int64_t>(16, t.rows); ++r)
    std::copy_n(t.c + r * t.ldc, std::min<int64_t>(16, t.columns), edge[r]);
  tile_load<kAt>(edge, 64);
}

template <int kAt>
inline void end_sum(const SumTile& t) {
  if (t.empty()) return;
  if (t.whole()) return tile_store<kAt>(t.c, 4 * t.ldc);
  alignas(64) float edge[16][16];
  tile_store<kAt>(edge, 64);
  for (int64_t r = 0; r < std::min<int64_t>(16, t.rows); ++r)
    std::copy_n(edge[r], std::min<int64_t>(16, t.columns), t.c + r * t.ldc);
}

constexpr bool kSharesFactors = true;
constexpr int64_t kStepsAtOnce = 16;  // of K: 32 rows of them stay in the first-level cache

void multiply(const Bf16ProductKernels::Product& p, int64_t row_begin, int64_t row_end, int64_t column_begin,
              int64_t column_end) {
  const TileShapes shapes;
  for (int64_t step = 0; step < p.steps; step += kStepsAtOnce) {
    const int64_t steps = std::min(kStepsAtOnce, p.steps - step);
    const bool accumulate = p.accumulate || step > 0;
    for (int64_t row = row_begin; row < row_end; ++row)
      for (int64_t column = column_begin; column < column_end; ++column) {
        const uint16_t* a = reinterpret_cast<const uint16_t*>(p.a) + (row * p.steps + step) * kProductPiece;
        const uint16_t* b = reinterpret_cast<const uint16_t*>(p.b) + (column * p.steps + step) * kProductPiece;
        SumTile t[4];
        for (int64_t i = 0; i < 4; ++i) {
          const int64_t r = row * kProductStrip + i / 2 * 16, c = column * kProductStrip + i % 2 * 16;
          t[i] = {p.c + r * p.ldc + c, p.ldc, p.m - r, p.n - c};
        }
        begin_sum<0>(t[0], accumulate);
        begin_sum<1>(t[1], accumulate);
        begin_sum<2>(t[2], accumulate);
        begin_sum<3>(t[3], accumulate);
        for (int64_t s = 0; s < steps; ++s, a += kProductPiece, b += kProductPiece) {
          tile_load<4>(a, 64);
          tile_load<6>(b, 64);
          tile_load<7>(b + kProductPiece / 2, 64);
          tile_dot_bf16<0, 4, 6>();
          tile_dot_bf16<1, 4, 7>();
          tile_load<5>(a + kProductPiece / 2, 64);
          tile_dot_bf16<2, 5, 6>();
          tile_dot_bf16<3, 5, 7>();
        }
        end_sum<0>(t[0]);
        end_sum<1>(t[1]);
        end_sum<2>(t[2]);
        end_sum<3>(t[3]);
      }
  }
}

}  // namespace
}  // namespace sumi::kernels::SUMI_ISA

#endif

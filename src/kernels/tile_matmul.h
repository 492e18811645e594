// Small matrix products inside one thread, for tiles that fit the caches (attention, adapters, weights unpacked a strip at
// a time).
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

struct TileKernels {
  // c[i, j] = (accumulate ? c[i, j] : 0) + sum over p < k, in rising order, of a(i, p) b[p, j] for i
  // < m, j < n; a(i, p) is a[i * a_row + p * a_column], b's rows are b_row apart, c's c_row. An
  // element's value does not depend on m or n.
  void (*multiply)(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_column,
                   const float* b, int64_t b_row, float* c, int64_t c_row, bool accumulate);
  // to[c * to_row + r] = from[r * from_row + c] for r < rows, c < columns.
  void (*transpose)(int64_t rows, int64_t columns, const float* from, int64_t from_row, float* to, int64_t to_row);
};

const TileKernels& tile_kernels();  // for base::active_isa()
const TileKernels& tile_kernels_for(base::Isa isa);

}  // namespace sumi::kernels

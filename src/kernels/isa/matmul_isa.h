// Shared by the matrix kernels of one instruction set.
#pragma once

#include "base/half.h"
#include "kernels/isa/simd.h"
#include "kernels/matmul.h"

namespace sumi::kernels::SUMI_ISA {

void matmul_codes(const MatmulArgs& args, int64_t begin, int64_t end);
void matmul_floats(const MatmulArgs& args, int64_t begin, int64_t end);
void quantize_row(const float* x, int64_t k, int64_t row, const QuantizedRows& q);
extern const MatmulKernels kMatmulKernels;

// One row's outputs of a panel (kPanel / Vec::kWidth registers), the last panel cut to n: written after adding the bias
// unless it is null, and read back.
inline void store_panel_row(const MatmulArgs& args, const float* bias, int64_t panel, int64_t row,
                            const Vec* total) {
  const int64_t first = panel * kPanel;
  float* y = args.y + row * args.ldy + first;
  for (int v = 0; v < kPanel / Vec::kWidth; ++v) {
    const int64_t at = v * Vec::kWidth;
    const int64_t left = args.weight.n - first - at;
    if (left >= Vec::kWidth)
      (bias ? total[v] + Vec::load(bias + first + at) : total[v]).store(y + at);
    else if (left > 0)
      store_partial(bias ? total[v] + load_partial(bias + first + at, left) : total[v], y + at, left);
  }
}

inline void load_panel_row(const MatmulArgs& args, int64_t panel, int64_t row, Vec* total) {
  const int64_t first = panel * kPanel;
  const float* y = args.y + row * args.ldy + first;
  for (int v = 0; v < kPanel / Vec::kWidth; ++v) {
    const int64_t at = v * Vec::kWidth;
    const int64_t left = args.weight.n - first - at;
    if (left >= Vec::kWidth)
      total[v] = Vec::load(y + at);
    else if (left > 0)
      total[v] = load_partial(y + at, left);
  }
}

}  // namespace sumi::kernels::SUMI_ISA

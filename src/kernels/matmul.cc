#include "kernels/matmul.h"

#include "base/half.h"
#include "kernels/isa_copies.h"
#include "kernels/pack.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(MatmulKernels, kMatmulKernels)

const MatmulKernels& matmul_kernels_for(base::Isa isa) { return SUMI_SELECT_ISA_WITH_TILES(kMatmulKernels, isa); }

const MatmulKernels& matmul_kernels() {
  static const MatmulKernels& kernels = matmul_kernels_for(base::active_isa());
  return kernels;
}

void zero_point_offsets(const int32_t* sums, int64_t count, int zero_point, int32_t first, int32_t* out) {
  // Modulo 2^32: sums behind the last row are arbitrary.
  for (int64_t i = 0; i < count; ++i)
    out[i] = static_cast<int32_t>(static_cast<uint32_t>(first) - static_cast<uint32_t>(zero_point) * static_cast<uint32_t>(sums[i]));
}

void matmul_naive(const MatmulArgs& args) {
  const PackedMatrix& w = args.weight;
  for (int64_t row = 0; row < args.m; ++row) {
    for (int64_t n = 0; n < w.n; ++n) {
      double total = 0;
      for (int64_t i = 0; i < w.k; ++i) {
        double x;
        if (w.quantized() && !w.exact)
          x = double{args.q.scales[row * (w.k / kBlock) + i / kBlock]} * args.q.codes[row * w.k + i];
        else if (w.code == CodeKind::bf16 && args.x_bf16 && !w.exact)
          x = base::bf16_to_float(args.x_bf16[row * ((w.k + 1) / 2 * 2) + i]);
        else
          x = args.x[row * w.k + i];
        total += x * packed_weight_at(w, n, i);
      }
      args.y[row * args.ldy + n] = static_cast<float>(total) + (args.bias ? args.bias[n] : 0);
    }
  }
}

}  // namespace sumi::kernels

#include "kernels/elementwise.h"

#include "kernels/isa_copies.h"
#include "kernels/tile_matmul.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(ElementwiseKernels, kElementwise)
SUMI_ISA_COPIES(TileMatmul, kTileMatmul)

const ElementwiseKernels& elementwise_kernels_for(base::Isa isa) {
  return SUMI_SELECT_ISA(kElementwise, isa);
}

const ElementwiseKernels& elementwise_kernels() {
  static const ElementwiseKernels& kernels = elementwise_kernels_for(base::active_isa());
  return kernels;
}

TileMatmul tile_matmul_for(base::Isa isa) { return SUMI_SELECT_ISA(kTileMatmul, isa); }

TileMatmul tile_matmul() {
  static const TileMatmul kernel = tile_matmul_for(base::active_isa());
  return kernel;
}

}  // namespace sumi::kernels

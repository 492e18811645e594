#include "kernels/elementwise.h"

#include "kernels/isa_copies.h"
#include "kernels/tile_matmul.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(ElementwiseKernels, kElementwise)
SUMI_ISA_COPIES(TileKernels, kTile)

const ElementwiseKernels& elementwise_kernels_for(base::Isa isa) {
  return SUMI_SELECT_ISA(kElementwise, isa);
}

const ElementwiseKernels& elementwise_kernels() {
  static const ElementwiseKernels& kernels = elementwise_kernels_for(base::active_isa());
  return kernels;
}

const TileKernels& tile_kernels_for(base::Isa isa) { return SUMI_SELECT_ISA(kTile, isa); }

const TileKernels& tile_kernels() {
  static const TileKernels& kernels = tile_kernels_for(base::active_isa());
  return kernels;
}

}  // namespace sumi::kernels

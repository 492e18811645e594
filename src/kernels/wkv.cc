#include "kernels/wkv.h"

#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(WkvKernels, kWkvKernels)

const WkvKernels& wkv_kernels_for(base::Isa isa) { return SUMI_SELECT_ISA(kWkvKernels, isa); }

const WkvKernels& wkv_kernels() {
  static const WkvKernels& kernels = wkv_kernels_for(base::active_isa());
  return kernels;
}

}  // namespace sumi::kernels

#include "kernels/group_norm.h"

#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(GroupNormKernels, kGroupNorm)

const GroupNormKernels& group_norm_kernels_for(base::Isa isa) {
  return SUMI_SELECT_ISA(kGroupNorm, isa);
}

const GroupNormKernels& group_norm_kernels() {
  static const GroupNormKernels& kernels = group_norm_kernels_for(base::active_isa());
  return kernels;
}

}  // namespace sumi::kernels

#include "kernels/optimizer.h"

#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(AdamWKernel, kAdamW)

AdamWKernel adamw_kernel_for(base::Isa isa) { return SUMI_SELECT_ISA(kAdamW, isa); }

AdamWKernel adamw_kernel() {
  static const AdamWKernel kernel = adamw_kernel_for(base::active_isa());
  return kernel;
}

}  // namespace sumi::kernels

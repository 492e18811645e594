#include "kernels/attention.h"

#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(AttentionKernels, kAttentionKernels)

const AttentionKernels& attention_kernels_for(base::Isa isa) { return SUMI_SELECT_ISA(kAttentionKernels, isa); }

const AttentionKernels& attention_kernels() {
  static const AttentionKernels& kernels = attention_kernels_for(base::active_isa());
  return kernels;
}

}  // namespace sumi::kernels

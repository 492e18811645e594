#include "kernels/attention_blocks.h"

#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(AttentionBlockKernels, kAttentionBlocks)

const AttentionBlockKernels& attention_block_kernels_for(base::Isa isa) {
  return SUMI_SELECT_ISA(kAttentionBlocks, isa);
}

const AttentionBlockKernels& attention_block_kernels() {
  static const AttentionBlockKernels& kernels = attention_block_kernels_for(base::active_isa());
  return kernels;
}

}  // namespace sumi::kernels

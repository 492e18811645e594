#include "kernels/attention.h"

#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(AttentionKernels, kAttentionKernels)
SUMI_ISA_COPIES(CachedBf16Attention, kBf16PairAttention)
SUMI_ISA_COPIES(CachedBf16Attention, kBf16TileAttention)

const AttentionKernels& attention_kernels_for(base::Isa isa) { return SUMI_SELECT_ISA(kAttentionKernels, isa); }

CachedBf16Attention cached_bf16_attention_for(base::Isa isa) {
  const CachedBf16Attention in_tiles = SUMI_SELECT_ISA_WITH_TILES(kBf16TileAttention, isa);
  return in_tiles ? in_tiles : SUMI_SELECT_ISA(kBf16PairAttention, isa);
}

CachedBf16Attention cached_bf16_attention() {
  static const CachedBf16Attention kernel = cached_bf16_attention_for(base::active_isa());
  return kernel;
}

const AttentionKernels& attention_kernels() {
  static const AttentionKernels& kernels = attention_kernels_for(base::active_isa());
  return kernels;
}

}  // namespace sumi::kernels

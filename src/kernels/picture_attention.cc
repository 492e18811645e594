#include "kernels/picture_attention.h"

#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(PictureAttentionKernels, kPictureAttention)
SUMI_ISA_COPIES(PictureAttentionKernels, kPictureCodeAttention)

const PictureAttentionKernels& picture_attention_kernels_for(base::Isa isa) {
  return SUMI_SELECT_ISA_WITH_TILES(kPictureAttention, isa);
}

const PictureAttentionKernels& picture_attention_kernels() {
  static const PictureAttentionKernels& kernels = picture_attention_kernels_for(base::active_isa());
  return kernels;
}

const PictureAttentionKernels& picture_code_attention_kernels_for(base::Isa isa) {
  return SUMI_SELECT_ISA_WITH_TILES(kPictureCodeAttention, isa);
}

const PictureAttentionKernels& picture_code_attention_kernels() {
  static const PictureAttentionKernels& kernels = picture_code_attention_kernels_for(base::active_isa());
  return kernels;
}

}  // namespace sumi::kernels

// The copies of kernels/bf16_product.h: of processors with tiles, of others from AVX-512 VNNI on, and empty ones.
#include "kernels/bf16_product.h"

#include "kernels/isa/bf16_product_floats.h"
#include "kernels/isa/bf16_product_pairs.h"
#include "kernels/isa/bf16_product_tiles.h"
#include "kernels/isa/bf16_product_vectors.h"

namespace sumi::kernels::SUMI_ISA {

extern const Bf16ProductKernels kBf16Product;

#if defined(SUMI_BF16)
const Bf16ProductKernels kBf16Product = {kRowStrip, sizeof(PackedNumber), kSharesFactors, pack, multiply};
#else
const Bf16ProductKernels kBf16Product = {};
#endif

}  // namespace sumi::kernels::SUMI_ISA

// Pairs of bf16 as products of vectors and tiles want them.
#pragma once

#include "kernels/isa/bf16_store.h"
#include "kernels/isa/simd_int.h"
#include "kernels/isa/turn.h"

#if defined(SUMI_BF16)
namespace sumi::kernels::SUMI_ISA {

// 16 numbers of each of two rows, side by side: pairs of k, as products want them.
inline void interleave(const uint16_t* even, const uint16_t* odd, uint32_t* pairs) {
#if defined(SUMI_EMULATE_AVX512)
  for (int i = 0; i < 16; ++i) pairs[i] = even[i] | static_cast<uint32_t>(odd[i]) << 16;
#else
  const auto wide = [](const uint16_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  };
  _mm512_storeu_si512(pairs, _mm512_or_si512(wide(even), _mm512_slli_epi32(wide(odd), 16)));
#endif
}

inline void interleave(const float* even, const float* odd, uint32_t* pairs) {
  store_pairs(Vec::load(even), Vec::load(odd), pairs);
}

// The lower halves of a's lanes and the upper halves of b's.
inline Register lower_and_upper(Register a, Register b) {
  return bit_or(bit_and(a, splat32(0xffff)), bit_and(b, splat32(static_cast<int32_t>(0xffff0000))));
}
// The upper halves of a's lanes, moved down, and the lower halves of b's, moved up.
inline Register upper_and_lower(Register a, Register b) {
  return bit_or(_mm512_srli_epi32(a, 16), _mm512_slli_epi32(b, 16));
}

}  // namespace sumi::kernels::SUMI_ISA
#endif

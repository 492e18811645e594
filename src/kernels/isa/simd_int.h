// Integer vectors for products of unsigned 8-bit codes with signed 8-bit activations. A register holds, for
// Vec::kWidth outputs, 4 consecutive k each; a product sums those 4 into one 32-bit lane per output.
#pragma once

#include "base/half.h"
#include "kernels/isa/bf16_store.h"
#include "kernels/isa/simd.h"

namespace sumi::kernels::SUMI_ISA {

inline constexpr int kRegisterBytes = 4 * Vec::kWidth;

#if defined(SUMI_AVX512)
using Register = __m512i;
inline Register load_bytes(const void* p) { return _mm512_loadu_si512(p); }
inline void store_bytes(void* p, Register a) { _mm512_storeu_si512(p, a); }
inline Register splat32(int32_t x) { return _mm512_set1_epi32(x); }
inline Register splat8(char x) { return _mm512_set1_epi8(x); }
inline Register bit_and(Register a, Register b) { return _mm512_and_si512(a, b); }
inline Register bit_or(Register a, Register b) { return _mm512_or_si512(a, b); }
inline Register bit_xor(Register a, Register b) { return _mm512_xor_si512(a, b); }
template <int kBits>
inline Register shift_right16(Register a) { return _mm512_srli_epi16(a, kBits); }
template <int kBits>
inline Register shift_left16(Register a) { return _mm512_slli_epi16(a, kBits); }
inline Register zero_register() { return _mm512_setzero_si512(); }
inline Register add32(Register a, Register b) { return _mm512_add_epi32(a, b); }
inline Vec to_float(Register a) { return {_mm512_cvtepi32_ps(a)}; }
inline Register add16(Register a, Register b) { return _mm512_add_epi16(a, b); }
inline Register pairs_u8_s8(Register u, Register s) { return _mm512_maddubs_epi16(u, s); }
inline Register pairs_16(Register a) { return _mm512_madd_epi16(a, _mm512_set1_epi16(1)); }
inline Register magnitude8(Register a) { return _mm512_abs_epi8(a); }
// a, negated where s is negative (products with s = 0 vanish anyhow).
inline Register with_sign8(Register a, Register s) {
  return _mm512_mask_sub_epi8(a, _mm512_movepi8_mask(s), _mm512_setzero_si512(), a);
}
inline Vec load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline Vec load_bf16(const void* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p))), 16))};
}
inline Vec load_u8(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))))};
}
inline Vec load_i8(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))))};
}
// 16 codes: x * inverse to the nearest whole number, cut to [-127, 127].
inline void round_16(const float* x, Vec inverse, int8_t* codes) {
  const Vec rounded = min(max(Vec::load(x) * inverse, Vec::set1(-127)), Vec::set1(127));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(rounded.v)));
}
inline Register sub8(Register a, Register b) { return _mm512_sub_epi8(a, b); }
// Byte kByte of each group of 4.
template <int kByte>
inline Vec byte_as_float(Register a) {
  return {_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(a, 8 * kByte), _mm512_set1_epi32(255)))};
}
#elif defined(SUMI_AVX2)
using Register = __m256i;
inline Register load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store_bytes(void* p, Register a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a); }
inline Register splat32(int32_t x) { return _mm256_set1_epi32(x); }
inline Register splat8(char x) { return _mm256_set1_epi8(x); }
inline Register bit_and(Register a, Register b) { return _mm256_and_si256(a, b); }
inline Register bit_or(Register a, Register b) { return _mm256_or_si256(a, b); }
inline Register bit_xor(Register a, Register b) { return _mm256_xor_si256(a, b); }
template <int kBits>
inline Register shift_right16(Register a) { return _mm256_srli_epi16(a, kBits); }
template <int kBits>
inline Register shift_left16(Register a) { return _mm256_slli_epi16(a, kBits); }
inline Register zero_register() { return _mm256_setzero_si256(); }
inline Register add32(Register a, Register b) { return _mm256_add_epi32(a, b); }
inline Vec to_float(Register a) { return {_mm256_cvtepi32_ps(a)}; }
inline Register add16(Register a, Register b) { return _mm256_add_epi16(a, b); }
inline Register pairs_u8_s8(Register u, Register s) { return _mm256_maddubs_epi16(u, s); }
inline Register pairs_16(Register a) { return _mm256_madd_epi16(a, _mm256_set1_epi16(1)); }
inline Register magnitude8(Register a) { return _mm256_abs_epi8(a); }
inline Register with_sign8(Register a, Register s) { return _mm256_sign_epi8(a, s); }
inline Vec load_f16(const void* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
inline Vec load_bf16(const void* p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(
      _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))), 16))};
}
inline Vec load_u8(const void* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))))};
}
inline Vec load_i8(const void* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))))};
}
inline void round_16(const float* x, Vec inverse, int8_t* codes) {
  const Vec low = min(max(Vec::load(x) * inverse, Vec::set1(-127)), Vec::set1(127));
  const Vec high = min(max(Vec::load(x + 8) * inverse, Vec::set1(-127)), Vec::set1(127));
  const __m256i a = _mm256_cvtps_epi32(low.v), b = _mm256_cvtps_epi32(high.v);
  // Packing goes by halves of a register: the permutation puts them in order.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes),
                   _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
template <int kByte>
inline Vec byte_as_float(Register a) {
  return {_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(a, 8 * kByte), _mm256_set1_epi32(255)))};
}
#else
struct Register {
  alignas(32) uint8_t byte[kRegisterBytes];
  int32_t lane(int i) const {
    int32_t value;
    std::memcpy(&value, byte + 4 * i, 4);
    return value;
  }
  void set_lane(int i, int32_t value) { std::memcpy(byte + 4 * i, &value, 4); }
};
inline Register load_bytes(const void* p) {
  Register r;
  std::memcpy(r.byte, p, sizeof r.byte);
  return r;
}
inline void store_bytes(void* p, Register a) { std::memcpy(p, a.byte, sizeof a.byte); }
inline Register zero_register() { return Register{}; }
inline Register splat8(char x) {
  Register r;
  std::memset(r.byte, x, sizeof r.byte);
  return r;
}
inline Register splat32(int32_t x) {
  Register r;
  for (int i = 0; i < Vec::kWidth; ++i) r.set_lane(i, x);
  return r;
}
#define SUMI_BYTES(expression)                                                                    \
  Register r;                                                                                     \
  for (int i = 0; i < kRegisterBytes; ++i) r.byte[i] = static_cast<uint8_t>(expression);          \
  return r
#define SUMI_WORDS(expression)                                          \
  Register r;                                                           \
  for (int i = 0; i < Vec::kWidth; ++i) r.set_lane(i, expression);      \
  return r
inline Register bit_and(Register a, Register b) { SUMI_BYTES(a.byte[i] & b.byte[i]); }
inline Register bit_or(Register a, Register b) { SUMI_BYTES(a.byte[i] | b.byte[i]); }
// Shifts of bytes: callers mask away what a 16-bit shift would carry between bytes.
template <int kBits>
inline Register shift_right16(Register a) { SUMI_BYTES(a.byte[i] >> kBits); }
template <int kBits>
inline Register shift_left16(Register a) { SUMI_BYTES(a.byte[i] << kBits); }
inline Vec to_float(Register a) {
  Vec r;
  for (int i = 0; i < Vec::kWidth; ++i) r.v[i] = static_cast<float>(a.lane(i));
  return r;
}
inline Register dot_u8_s8(Register sum, Register u, Register s) {
  for (int i = 0; i < Vec::kWidth; ++i) {
    int32_t total = sum.lane(i);
    for (int j = 0; j < 4; ++j)
      total += int32_t{u.byte[4 * i + j]} * static_cast<int8_t>(s.byte[4 * i + j]);
    sum.set_lane(i, total);
  }
  return sum;
}
inline Vec load_f16(const void* p) {
  Vec r;
  for (int i = 0; i < Vec::kWidth; ++i) {
    uint16_t bits;
    std::memcpy(&bits, static_cast<const char*>(p) + 2 * i, 2);
    r.v[i] = base::f16_to_float(bits);
  }
  return r;
}
inline Vec load_bf16(const void* p) {
  Vec r;
  for (int i = 0; i < Vec::kWidth; ++i) {
    uint16_t bits;
    std::memcpy(&bits, static_cast<const char*>(p) + 2 * i, 2);
    r.v[i] = base::bf16_to_float(bits);
  }
  return r;
}
inline Vec load_u8(const void* p) {
  Vec r;
  for (int i = 0; i < Vec::kWidth; ++i) r.v[i] = static_cast<const uint8_t*>(p)[i];
  return r;
}
inline Vec load_i8(const void* p) {
  Vec r;
  for (int i = 0; i < Vec::kWidth; ++i) r.v[i] = static_cast<const int8_t*>(p)[i];
  return r;
}
inline void round_16(const float* x, Vec inverse, int8_t* codes) {
  for (int i = 0; i < 16; i += Vec::kWidth) {
    const Vec rounded = round(min(max(Vec::load(x + i) * inverse, Vec::set1(-127)), Vec::set1(127)));
    for (int j = 0; j < Vec::kWidth; ++j) codes[i + j] = static_cast<int8_t>(rounded.v[j]);
  }
}
template <int kByte>
inline Vec byte_as_float(Register a) {
  Vec r;
  for (int i = 0; i < Vec::kWidth; ++i) r.v[i] = a.byte[4 * i + kByte];
  return r;
}
#undef SUMI_BYTES
#undef SUMI_WORDS
#endif

inline void bf16_from_floats(const float* x, int64_t count, uint16_t* to) {
  int64_t i = 0;
#if defined(SUMI_BF16)
  for (; i + 16 <= count; i += 16) store_bf16(Vec::load(x + i), to + i);
#endif
  for (; i < count; ++i) to[i] = base::float_to_bf16(x[i]);
}

// The four bytes at p in every lane.
inline Register splat_group(const void* p) {
  int32_t group;
  std::memcpy(&group, p, sizeof group);
  return splat32(group);
}

// Registers of pairs of bf16 as floats. A bf16 is the upper half of a float: the even one of a pair is shifted up, the odd one
// masked.
inline Vec even_of_pairs(const void* p) {
#if defined(SUMI_AVX512)
  return {_mm512_castsi512_ps(_mm512_slli_epi32(load_bytes(p), 16))};
#elif defined(SUMI_AVX2)
  return {_mm256_castsi256_ps(_mm256_slli_epi32(load_bytes(p), 16))};
#else
  Vec r;
  for (int i = 0; i < Vec::kWidth; ++i) {
    uint16_t bits;
    std::memcpy(&bits, static_cast<const std::byte*>(p) + 4 * i, 2);
    r.v[i] = base::bf16_to_float(bits);
  }
  return r;
#endif
}
inline Vec odd_of_pairs(const void* p) {
#if defined(SUMI_AVX512)
  return {_mm512_castsi512_ps(bit_and(load_bytes(p), splat32(static_cast<int32_t>(0xffff0000))))};
#elif defined(SUMI_AVX2)
  return {_mm256_castsi256_ps(bit_and(load_bytes(p), splat32(static_cast<int32_t>(0xffff0000))))};
#else
  return even_of_pairs(static_cast<const std::byte*>(p) + 2);
#endif
}

// Asks for a cache line that will be read soon, or later (then it waits in the second level); any address is allowed.
inline void prefetch(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#endif
}
inline void prefetch_later(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p, 0, 2);
#endif
}

// The same for one that will be written.
inline void prefetch_to_write(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p, 1);
#endif
}

#if defined(SUMI_VNNI)
inline Register dot_u8_s8(Register sum, Register u, Register s) { return _mm512_dpbusd_epi32(sum, u, s); }
#endif

// Where a product of 4 k goes straight into 32 bits (VNNI, scalar). Elsewhere pairs are summed in 16 bits first.
#if defined(SUMI_VNNI) || !(defined(SUMI_AVX512) || defined(SUMI_AVX2))
inline constexpr bool kDirectDot = true;
// For each lane the sum of its 4 signed bytes.
inline Register sum_of_4(Register s) { return dot_u8_s8(zero_register(), splat8(1), s); }
#else
inline constexpr bool kDirectDot = false;
inline Register sum_of_4(Register s) { return pairs_16(pairs_u8_s8(splat8(1), s)); }
#endif

}  // namespace sumi::kernels::SUMI_ISA

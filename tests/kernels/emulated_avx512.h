// The AVX-512 intrinsics that kernels/isa/ uses, in plain C++ after the operation descriptions of Intel's intrinsics
// guide, so that tests run the AVX-512 copies of the kernels on any machine. Included in place of immintrin.h
// when SUMI_EMULATE_AVX512 is defined; with SUMI_EMULATE_BF16 the VNNI and BF16 instructions too.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/half.h"

struct __m512 { float f[16]; };
struct __m512i { uint8_t b[64]; };
struct __m512bh { uint16_t h[32]; };
struct __m256i { uint8_t b[32]; };
struct __m128i { uint8_t b[16]; };
using __mmask64 = uint64_t;
using __mmask16 = uint16_t;
inline constexpr int _CMP_GT_OQ = 30;

namespace emulated {

template <class Lane, class From>
Lane lane(const From& from, int i) {
  Lane value;
  std::memcpy(&value, reinterpret_cast<const char*>(&from) + static_cast<size_t>(i) * sizeof(Lane), sizeof(Lane));
  return value;
}
template <class Lane, class To>
void set_lane(To& to, int i, Lane value) {
  std::memcpy(reinterpret_cast<char*>(&to) + static_cast<size_t>(i) * sizeof(Lane), &value, sizeof(Lane));
}
template <class Function>
__m512 floats(Function f) {
  __m512 r;
  for (int i = 0; i < 16; ++i) r.f[i] = f(i);
  return r;
}
template <class Lane, class Function>
__m512i lanes(Function f) {
  __m512i r;
  for (int i = 0; i < static_cast<int>(64 / sizeof(Lane)); ++i) set_lane<Lane>(r, i, static_cast<Lane>(f(i)));
  return r;
}
inline int16_t saturate16(int x) { return static_cast<int16_t>(std::clamp(x, -32768, 32767)); }

}  // namespace emulated

inline __m512 _mm512_loadu_ps(const void* p) { __m512 r; std::memcpy(&r, p, 64); return r; }
inline void _mm512_storeu_ps(void* p, __m512 a) { std::memcpy(p, &a, 64); }
inline __m512 _mm512_set1_ps(float x) { return emulated::floats([&](int) { return x; }); }
inline __m512 _mm512_setzero_ps() { return _mm512_set1_ps(0); }
inline __m512 _mm512_add_ps(__m512 a, __m512 b) { return emulated::floats([&](int i) { return a.f[i] + b.f[i]; }); }
inline __m512 _mm512_sub_ps(__m512 a, __m512 b) { return emulated::floats([&](int i) { return a.f[i] - b.f[i]; }); }
inline __m512 _mm512_mul_ps(__m512 a, __m512 b) { return emulated::floats([&](int i) { return a.f[i] * b.f[i]; }); }
inline __m512 _mm512_div_ps(__m512 a, __m512 b) { return emulated::floats([&](int i) { return a.f[i] / b.f[i]; }); }
inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  return emulated::floats([&](int i) { return std::fma(a.f[i], b.f[i], c.f[i]); });
}
inline __m512 _mm512_max_ps(__m512 a, __m512 b) {
  return emulated::floats([&](int i) { return a.f[i] > b.f[i] ? a.f[i] : b.f[i]; });
}
inline __m512 _mm512_min_ps(__m512 a, __m512 b) {
  return emulated::floats([&](int i) { return a.f[i] < b.f[i] ? a.f[i] : b.f[i]; });
}
inline __m512 _mm512_sqrt_ps(__m512 a) { return emulated::floats([&](int i) { return std::sqrt(a.f[i]); }); }
inline __m512 _mm512_roundscale_ps(__m512 a, int control) {
  if (control != 0) std::abort();  // only "to nearest even" is used
  return emulated::floats([&](int i) { return std::nearbyint(a.f[i]); });
}
inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void* p) {
  __m512 r{};
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) r.f[i] = static_cast<const float*>(p)[i];
  return r;
}
inline void _mm512_mask_storeu_ps(void* p, __mmask16 mask, __m512 a) {
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) static_cast<float*>(p)[i] = a.f[i];
}
inline __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int how) {
  if (how != _CMP_GT_OQ) std::abort();
  int mask = 0;
  for (int i = 0; i < 16; ++i) mask |= (a.f[i] > b.f[i] ? 1 : 0) << i;
  return static_cast<__mmask16>(mask);
}
inline __m512 _mm512_mask_blend_ps(__mmask16 mask, __m512 a, __m512 b) {
  return emulated::floats([&](int i) { return (mask >> i) & 1 ? b.f[i] : a.f[i]; });
}
inline __m512i _mm512_cvtps_epi32(__m512 a) {
  return emulated::lanes<int32_t>([&](int i) { return std::lrint(a.f[i]); });
}
inline __m512 _mm512_cvtepi32_ps(__m512i a) {
  return emulated::floats([&](int i) { return static_cast<float>(emulated::lane<int32_t>(a, i)); });
}
inline __m512 _mm512_castsi512_ps(__m512i a) { __m512 r; std::memcpy(&r, &a, 64); return r; }
inline __m512i _mm512_castps_si512(__m512 a) { __m512i r; std::memcpy(&r, &a, 64); return r; }

inline __m512i _mm512_loadu_si512(const void* p) { __m512i r; std::memcpy(&r, p, 64); return r; }
inline __m512i _mm512_setzero_si512() { return __m512i{}; }
inline __m512i _mm512_set1_epi32(int32_t x) { return emulated::lanes<int32_t>([&](int) { return x; }); }
inline __m512i _mm512_set1_epi16(int16_t x) { return emulated::lanes<int16_t>([&](int) { return x; }); }
inline __m512i _mm512_set1_epi8(char x) { return emulated::lanes<int8_t>([&](int) { return x; }); }
inline __m512i _mm512_and_si512(__m512i a, __m512i b) {
  return emulated::lanes<uint8_t>([&](int i) { return a.b[i] & b.b[i]; });
}
inline __m512i _mm512_or_si512(__m512i a, __m512i b) {
  return emulated::lanes<uint8_t>([&](int i) { return a.b[i] | b.b[i]; });
}
inline __m512i _mm512_xor_si512(__m512i a, __m512i b) {
  return emulated::lanes<uint8_t>([&](int i) { return a.b[i] ^ b.b[i]; });
}
inline __m512i _mm512_srli_epi16(__m512i a, int n) {
  return emulated::lanes<uint16_t>([&](int i) { return emulated::lane<uint16_t>(a, i) >> n; });
}
inline __m512i _mm512_slli_epi16(__m512i a, int n) {
  return emulated::lanes<uint16_t>([&](int i) { return emulated::lane<uint16_t>(a, i) << n; });
}
inline __m512i _mm512_srai_epi16(__m512i a, int n) {
  return emulated::lanes<int16_t>([&](int i) { return emulated::lane<int16_t>(a, i) >> n; });
}
inline __m512i _mm512_sub_epi16(__m512i a, __m512i b) {
  return emulated::lanes<uint16_t>([&](int i) { return emulated::lane<uint16_t>(a, i) - emulated::lane<uint16_t>(b, i); });
}
// Products of words over 2^15, rounded.
inline __m512i _mm512_mulhrs_epi16(__m512i a, __m512i b) {
  return emulated::lanes<int16_t>([&](int i) {
    return (emulated::lane<int16_t>(a, i) * emulated::lane<int16_t>(b, i) + (1 << 14)) >> 15;
  });
}
inline __m512i _mm512_srli_epi32(__m512i a, int n) {
  return emulated::lanes<uint32_t>([&](int i) { return emulated::lane<uint32_t>(a, i) >> n; });
}
inline __m512i _mm512_slli_epi32(__m512i a, int n) {
  return emulated::lanes<uint32_t>([&](int i) { return emulated::lane<uint32_t>(a, i) << n; });
}
inline __m512i _mm512_add_epi32(__m512i a, __m512i b) {
  return emulated::lanes<uint32_t>([&](int i) { return emulated::lane<uint32_t>(a, i) + emulated::lane<uint32_t>(b, i); });
}
inline __m512i _mm512_sub_epi32(__m512i a, __m512i b) {
  return emulated::lanes<uint32_t>([&](int i) { return emulated::lane<uint32_t>(a, i) - emulated::lane<uint32_t>(b, i); });
}
inline __m512i _mm512_sub_epi8(__m512i a, __m512i b) {
  return emulated::lanes<uint8_t>([&](int i) { return a.b[i] - b.b[i]; });
}
inline __m512i _mm512_add_epi16(__m512i a, __m512i b) {
  return emulated::lanes<uint16_t>([&](int i) { return emulated::lane<uint16_t>(a, i) + emulated::lane<uint16_t>(b, i); });
}
// Adds neighbouring products of unsigned bytes of a with signed bytes of b, saturating to 16 bits.
inline __m512i _mm512_maddubs_epi16(__m512i a, __m512i b) {
  return emulated::lanes<int16_t>([&](int i) {
    return emulated::saturate16(a.b[2 * i] * emulated::lane<int8_t>(b, 2 * i) +
                                a.b[2 * i + 1] * emulated::lane<int8_t>(b, 2 * i + 1));
  });
}
inline __m512i _mm512_madd_epi16(__m512i a, __m512i b) {
  return emulated::lanes<int32_t>([&](int i) {
    return emulated::lane<int16_t>(a, 2 * i) * emulated::lane<int16_t>(b, 2 * i) +
           emulated::lane<int16_t>(a, 2 * i + 1) * emulated::lane<int16_t>(b, 2 * i + 1);
  });
}
inline __m512i _mm512_abs_epi8(__m512i a) {
  return emulated::lanes<uint8_t>([&](int i) { return std::abs(int{emulated::lane<int8_t>(a, i)}); });
}
inline __mmask64 _mm512_movepi8_mask(__m512i a) {
  __mmask64 mask = 0;
  for (int i = 0; i < 64; ++i) mask |= static_cast<uint64_t>(a.b[i] >> 7) << i;
  return mask;
}
inline __m512i _mm512_mask_sub_epi8(__m512i source, __mmask64 mask, __m512i a, __m512i b) {
  return emulated::lanes<uint8_t>([&](int i) { return (mask >> i) & 1 ? a.b[i] - b.b[i] : source.b[i]; });
}
inline __m256i _mm256_loadu_si256(const __m256i* p) { __m256i r; std::memcpy(&r, p, 32); return r; }
inline __m128i _mm_loadu_si128(const __m128i* p) { __m128i r; std::memcpy(&r, p, 16); return r; }
inline __m512 _mm512_cvtph_ps(__m256i a) {
  return emulated::floats([&](int i) { return sumi::base::f16_to_float(emulated::lane<uint16_t>(a, i)); });
}
inline __m512i _mm512_cvtepu16_epi32(__m256i a) {
  uint16_t value[16];
  std::memcpy(value, &a, 32);
  return emulated::lanes<int32_t>([&](int i) { return value[i]; });
}
inline __m512i _mm512_cvtepu8_epi32(__m128i a) {
  return emulated::lanes<int32_t>([&](int i) { return a.b[i]; });
}
inline __m512i _mm512_cvtepi8_epi32(__m128i a) {
  return emulated::lanes<int32_t>([&](int i) { return emulated::lane<int8_t>(a, i); });
}
#if defined(SUMI_EMULATE_BF16)
inline __m512i _mm512_dpbusd_epi32(__m512i sum, __m512i a, __m512i b) {
  return emulated::lanes<int32_t>([&](int i) {
    int32_t total = emulated::lane<int32_t>(sum, i);
    for (int j = 4 * i; j < 4 * i + 4; ++j) total += a.b[j] * emulated::lane<int8_t>(b, j);
    return total;
  });
}
// The hardware's order inside a pair is its own; tests allow for it.
inline __m512 _mm512_dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
  return emulated::floats([&](int i) {
    const auto product = [&](int j) { return sumi::base::bf16_to_float(a.h[j]) * sumi::base::bf16_to_float(b.h[j]); };
    return sum.f[i] + (product(2 * i) + product(2 * i + 1));
  });
}
#endif
inline __m128i _mm512_cvtepi32_epi8(__m512i a) {
  __m128i r;
  for (int i = 0; i < 16; ++i) r.b[i] = static_cast<uint8_t>(emulated::lane<int32_t>(a, i));
  return r;
}
inline float _mm512_reduce_add_ps(__m512 a) {
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) a.f[i] += a.f[i + width];
  return a.f[0];
}
inline float _mm512_reduce_max_ps(__m512 a) {
  float best = a.f[0];
  for (int i = 1; i < 16; ++i) best = a.f[i] > best ? a.f[i] : best;
  return best;
}
inline __m512i _mm512_srai_epi32(__m512i a, int n) {
  return emulated::lanes<int32_t>([&](int i) { return emulated::lane<int32_t>(a, i) >> n; });
}
inline __m512i _mm512_sllv_epi32(__m512i a, __m512i n) {
  return emulated::lanes<uint32_t>([&](int i) { return emulated::lane<uint32_t>(a, i) << emulated::lane<uint32_t>(n, i); });
}
inline __m256i _mm512_cvtepi32_epi16(__m512i a) {
  __m256i r;
  for (int i = 0; i < 16; ++i) emulated::set_lane(r, i, static_cast<uint16_t>(emulated::lane<uint32_t>(a, i)));
  return r;
}
inline void _mm256_storeu_si256(__m256i* p, __m256i a) { std::memcpy(p, &a, 32); }
inline void _mm_storeu_si128(__m128i* p, __m128i a) { std::memcpy(p, &a, 16); }
inline void _mm512_storeu_si512(void* p, __m512i a) { std::memcpy(p, &a, 64); }

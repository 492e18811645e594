// The copies of kernels/eight_bit.h: with AVX-512 codes are computed from the numbers' exponents, elsewhere looked up.
#include "kernels/eight_bit.h"

#include <algorithm>
#include <cmath>

#include "kernels/isa/simd.h"

namespace sumi::kernels::SUMI_ISA {
namespace {

inline Vec magnitude(Vec x) { return max(x, Vec::zero() - x); }

float largest_magnitude(const float* values, int64_t count) {
  Vec most = Vec::zero();
  int64_t i = 0;
  for (; i + Vec::kWidth <= count; i += Vec::kWidth) most = max(most, magnitude(Vec::load(values + i)));
  if (i < count) most = max(most, magnitude(load_partial(values + i, count - i)));
  return max_lanes(most);
}

#if defined(SUMI_AVX512) && !defined(SUMI_EMULATE_AVX512)

// What a magnitude's code is computed from. Region 0 is what rounds to zero, regions 1 to 7 are the decades, region 8 is what
// rounds to 1; the code (beyond that of zero) is first + clamp(trunc(magnitude * slope + offset), 0, last).
struct Regions {
  static constexpr int kOne = kEightBitDecades + 1;
  static constexpr int kExponents = 32, kBias = 127 - 31;  // from 2^-31, all smaller ones like it, to 2^0
  alignas(64) float slope[16] = {}, offset[16] = {};
  alignas(64) int32_t first[16] = {}, last[16] = {};
  // By exponent: the region where it begins, and the magnitude from which on it is the next one.
  alignas(64) int32_t region[kExponents] = {};
  alignas(64) float next[kExponents] = {};

  explicit Regions(bool is_signed) {
    double begin[kOne + 1] = {};
    int code = 1;
    double before = 0;  // the largest number of the region before
    for (int i = 0; i < kEightBitDecades; ++i) {
      const int pieces = eight_bit_pieces(i, is_signed);
      const double scale = std::pow(10.0, i - 6), width = 0.9 / pieces;
      begin[i + 1] = (before + scale * (0.1 + width / 2)) / 2;
      before = scale * (1 - width / 2);
      slope[i + 1] = static_cast<float>(1 / (scale * width));
      offset[i + 1] = static_cast<float>(-0.1 / width);
      first[i + 1] = code;
      last[i + 1] = pieces - 1;
      code += pieces;
    }
    begin[kOne] = (before + 1) / 2;
    first[kOne] = code;
    for (int e = 0; e < kExponents; ++e) {
      const double low = e == 0 ? 0 : std::ldexp(1.0, e - 31), high = std::ldexp(1.0, e - 30);
      int i = 0;
      while (i < kOne && begin[i + 1] <= low) ++i;
      region[e] = i;
      next[e] = i < kOne && begin[i + 1] < high ? static_cast<float>(begin[i + 1]) : INFINITY;
    }
  }
};

const Regions& regions(bool is_signed) {
  static const Regions with_sign(true), without(false);
  return is_signed ? with_sign : without;
}

class Encoder {
 public:
  explicit Encoder(bool is_signed)
      : table_(regions(is_signed)),
        slope_(_mm512_load_ps(table_.slope)),
        offset_(_mm512_load_ps(table_.offset)),
        first_(_mm512_load_si512(table_.first)),
        last_(_mm512_load_si512(table_.last)) {}

  // How many codes beyond zero's; 1.0 is the most.
  __m512i steps(__m512 magnitude) const {
    const __m512i bits = _mm512_srli_epi32(_mm512_castps_si512(magnitude), 23);
    const __m512i exponent =
        _mm512_max_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(Regions::kBias)), _mm512_setzero_si512());
    const __m512i low = _mm512_permutex2var_epi32(_mm512_load_si512(table_.region), exponent,
                                                  _mm512_load_si512(table_.region + 16));
    const __m512 next = _mm512_permutex2var_ps(_mm512_load_ps(table_.next), exponent, _mm512_load_ps(table_.next + 16));
    const __mmask16 beyond = _mm512_cmp_ps_mask(magnitude, next, _CMP_GE_OQ);
    const __m512i region = _mm512_mask_add_epi32(low, beyond, low, _mm512_set1_epi32(1));
    const __m512 place = _mm512_fmadd_ps(magnitude, _mm512_permutexvar_ps(region, slope_),
                                         _mm512_permutexvar_ps(region, offset_));
    const __m512i piece = _mm512_max_epi32(_mm512_cvttps_epi32(place), _mm512_setzero_si512());
    return _mm512_add_epi32(_mm512_min_epi32(piece, _mm512_permutexvar_epi32(region, last_)),
                            _mm512_permutexvar_epi32(region, first_));
  }

 private:
  const Regions& table_;
  __m512 slope_, offset_;
  __m512i first_, last_;
};

template <bool kSigned>
inline __m128i codes_of(const Encoder& encoder, __m512 x) {
  const __m512 magnitude = _mm512_abs_ps(x);
  __m512i code = encoder.steps(magnitude);
  if constexpr (kSigned) {
    const __m512i zero = _mm512_set1_epi32(127);
    const __mmask16 negative = _mm512_movepi32_mask(_mm512_castps_si512(x));
    // There is no -1.
    const __m512i below = _mm512_max_epi32(_mm512_sub_epi32(zero, code), _mm512_setzero_si512());
    code = _mm512_mask_blend_epi32(negative, _mm512_add_epi32(zero, code), below);
  }
  return _mm512_cvtepi32_epi8(code);
}

template <bool kSigned>
void write_codes(const float* values, float inverse, int64_t count, uint8_t* codes) {
  const Encoder encoder(kSigned);
  const __m512 factor = _mm512_set1_ps(inverse);
  for (int64_t i = 0; i < count; i += 16) {
    const auto lanes = static_cast<__mmask16>(count - i < 16 ? (1u << (count - i)) - 1 : 0xffffu);
    const __m512 x = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, values + i), factor);
    _mm_mask_storeu_epi8(codes + i, lanes, codes_of<kSigned>(encoder, x));
  }
}

float write(const float* values, bool is_signed, int64_t count, uint8_t* codes) {
  const float scale = largest_magnitude(values, count), inverse = scale > 0 ? 1 / scale : 0;
  is_signed ? write_codes<true>(values, inverse, count, codes) : write_codes<false>(values, inverse, count, codes);
  return scale;
}

// All 256 numbers in registers.
void read(const uint8_t* codes, float scale, bool is_signed, int64_t count, float* out) {
  const float* values = eight_bit_values(is_signed).data();
  __m512 table[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) table[i] = _mm512_loadu_ps(values + 16 * i);
  const __m512 factor = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < count; i += 16) {
    const auto lanes = static_cast<__mmask16>(count - i < 16 ? (1u << (count - i)) - 1 : 0xffffu);
    const __m512i code = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, codes + i));
    __m512 found[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) found[j] = _mm512_permutex2var_ps(table[2 * j], code, table[2 * j + 1]);
#pragma GCC unroll 3
    for (int bit = 5; bit < 8; ++bit) {
      const __mmask16 upper = _mm512_test_epi32_mask(code, _mm512_set1_epi32(1 << bit));
#pragma GCC unroll 4
      for (int j = 0; j < 4 >> (bit - 5); ++j) found[j] = _mm512_mask_blend_ps(upper, found[2 * j], found[2 * j + 1]);
    }
    _mm512_mask_storeu_ps(out + i, lanes, _mm512_mul_ps(found[0], factor));
  }
}

#else

float write(const float* values, bool is_signed, int64_t count, uint8_t* codes) {
  const float scale = largest_magnitude(values, count), inverse = scale > 0 ? 1 / scale : 0;
  for (int64_t i = 0; i < count; ++i) codes[i] = nearest_eight_bit(values[i] * inverse, is_signed);
  return scale;
}

void read(const uint8_t* codes, float scale, bool is_signed, int64_t count, float* out) {
  const std::array<float, 256>& values = eight_bit_values(is_signed);
  for (int64_t i = 0; i < count; ++i) out[i] = values[codes[i]] * scale;
}

#endif

}  // namespace

extern const EightBitKernels kEightBit;
const EightBitKernels kEightBit = {read, write};

}  // namespace sumi::kernels::SUMI_ISA

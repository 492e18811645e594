// The copies of kernels/eight_bit.h: with AVX-512 codes are computed from the numbers' exponents, elsewhere looked up.
#include "kernels/eight_bit.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/isa/simd.h"

namespace sumi::kernels::SUMI_ISA {
namespace {

float largest_magnitude(const float* values, int64_t count) {
  Vec most = Vec::zero();
  int64_t i = 0;
  for (; i + Vec::kWidth <= count; i += Vec::kWidth) most = max(most, absolute(Vec::load(values + i)));
  if (i < count) most = max(most, absolute(load_partial(values + i, count - i)));
  return max_lanes(most);
}

#if defined(SUMI_AVX512) && !defined(SUMI_EMULATE_AVX512)

// What a magnitude's code is computed from. Region 0 is what rounds to zero, regions 1 to 7 are the decades, region 8 is what
// rounds to 1; the code (beyond that of zero) is min(trunc(magnitude * slope + offset), last).
struct Regions {
  static constexpr int kOne = kEightBitDecades + 1;
  static constexpr int kExponents = 32, kBias = 127 - 31;  // from 2^-31, all smaller ones like it, to 2^0
  alignas(64) float slope[16] = {}, offset[16] = {};
  alignas(64) int32_t last[16] = {};
  // The number of a code n steps from zero's is v * width + start, where v is n + 1, or 2 n + 1 of signed ones: by v's
  // exponent, modulo 16.
  alignas(64) float width[16] = {}, start[16] = {};
  // By exponent: the region where it begins, and the magnitude from which on it is the next one.
  alignas(64) int32_t region[kExponents] = {};
  alignas(64) float next[kExponents] = {};

  explicit Regions(bool is_signed) {
    double begin[kOne + 1] = {};
    int code = 1;
    double before = 0;  // the largest number of the region before
    for (int i = 0; i < kEightBitDecades; ++i) {
      const int pieces = eight_bit_pieces(i, is_signed);
      const double scale = std::pow(10.0, i - 6), piece = 0.9 / pieces;
      begin[i + 1] = (before + scale * (0.1 + piece / 2)) / 2;
      before = scale * (1 - piece / 2);
      slope[i + 1] = static_cast<float>(1 / (scale * piece));
      offset[i + 1] = static_cast<float>(code - 0.1 / piece);
      last[i + 1] = code + pieces - 1;
      const int exponent = exponent_of(code, is_signed);
      const double step = scale * piece / (is_signed ? 2 : 1);
      width[exponent] = static_cast<float>(step);
      start[exponent] = static_cast<float>(scale * (0.1 + (0.5 - code) * piece) - step);
      code += pieces;
    }
    begin[kOne] = (before + 1) / 2;
    offset[kOne] = static_cast<float>(code);
    last[kOne] = code;
    start[exponent_of(code, is_signed)] = 1;
    for (int e = 0; e < kExponents; ++e) {
      const double low = e == 0 ? 0 : std::ldexp(1.0, e - 31), high = std::ldexp(1.0, e - 30);
      int i = 0;
      while (i < kOne && begin[i + 1] <= low) ++i;
      region[e] = i;
      next[e] = i < kOne && begin[i + 1] < high ? static_cast<float>(begin[i + 1]) : INFINITY;
    }
  }
  static int exponent_of(int code, bool is_signed) {
    return (126 + std::bit_width(static_cast<uint32_t>(is_signed ? 2 * code + 1 : code + 1))) % 16;
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
    return _mm512_min_epi32(_mm512_cvttps_epi32(place), _mm512_permutexvar_epi32(region, last_));
  }

 private:
  const Regions& table_;
  __m512 slope_, offset_;
  __m512i last_;
};

inline __mmask16 first_lanes(int64_t count) { return static_cast<__mmask16>(count < 16 ? (1u << count) - 1 : 0xffffu); }

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
    const __mmask16 lanes = first_lanes(count - i);
    const __m512 x = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, values + i), factor);
    _mm_mask_storeu_epi8(codes + i, lanes, codes_of<kSigned>(encoder, x));
  }
}

void write_codes(const float* values, float inverse, bool is_signed, int64_t count, uint8_t* codes) {
  is_signed ? write_codes<true>(values, inverse, count, codes) : write_codes<false>(values, inverse, count, codes);
}

template <bool kSigned>
void read_codes(const uint8_t* codes, float scale, int64_t count, float* out) {
  const Regions& table = regions(kSigned);
  const __m512 width = _mm512_load_ps(table.width), start = _mm512_load_ps(table.start), factor = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 lanes = first_lanes(count - i);
    const __m512i code = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, codes + i));
    const __m512i away = kSigned ? _mm512_sub_epi32(code, _mm512_set1_epi32(127)) : code;
    const __m512i one = _mm512_set1_epi32(1), steps = _mm512_abs_epi32(away);
    const __m512 v = _mm512_cvtepi32_ps(_mm512_add_epi32(kSigned ? _mm512_slli_epi32(steps, 1) : code, one));
    const __m512i exponent = _mm512_srli_epi32(_mm512_castps_si512(v), 23);
    __m512 value = _mm512_fmadd_ps(v, _mm512_permutexvar_ps(exponent, width), _mm512_permutexvar_ps(exponent, start));
    value = _mm512_mul_ps(value, factor);
    if (kSigned)
      value = _mm512_castsi512_ps(_mm512_xor_si512(
          _mm512_castps_si512(value), _mm512_and_si512(away, _mm512_set1_epi32(static_cast<int32_t>(0x80000000)))));
    _mm512_mask_storeu_ps(out + i, lanes, value);
  }
}

void read(const uint8_t* codes, float scale, bool is_signed, int64_t count, float* out) {
  is_signed ? read_codes<true>(codes, scale, count, out) : read_codes<false>(codes, scale, count, out);
}

#else

void write_codes(const float* values, float inverse, bool is_signed, int64_t count, uint8_t* codes) {
  for (int64_t i = 0; i < count; ++i) codes[i] = nearest_eight_bit(values[i] * inverse, is_signed);
}

void read(const uint8_t* codes, float scale, bool is_signed, int64_t count, float* out) {
  const std::array<float, 256>& values = eight_bit_values(is_signed);
  for (int64_t i = 0; i < count; ++i) out[i] = values[codes[i]] * scale;
}

#endif

float write(const float* values, bool is_signed, int64_t count, uint8_t* codes) {
  const float scale = largest_magnitude(values, count);
  write_codes(values, scale > 0 ? 1 / scale : 0, is_signed, count, codes);
  return scale;
}

}  // namespace

extern const EightBitKernels kEightBit;
const EightBitKernels kEightBit = {read, write};

}  // namespace sumi::kernels::SUMI_ISA

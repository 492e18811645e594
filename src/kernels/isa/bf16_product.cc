// The copies of kernels/bf16_product.h: of processors with tiles, of those whose vectors multiply bf16, and empty ones.
#include "kernels/bf16_product.h"

#include <algorithm>

#include "kernels/isa/bf16_product_tiles.h"
#include "kernels/isa/bf16_product_vectors.h"
#include "kernels/isa/simd_int.h"

namespace sumi::kernels::SUMI_ISA {

extern const Bf16ProductKernels kBf16Product;

#if !defined(SUMI_BF16)

const Bf16ProductKernels kBf16Product = {nullptr, nullptr};

#else

namespace {

constexpr int64_t kTile = kProductPiece / 2;  // elements

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
#if defined(SUMI_EMULATE_AVX512)
  uint16_t narrow[2][16];
  bf16_from_floats(even, 16, narrow[0]);
  bf16_from_floats(odd, 16, narrow[1]);
  interleave(narrow[0], narrow[1], pairs);
#else
  const auto wide = [](const float* p) {
    return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(p))));
  };
  _mm512_storeu_si512(pairs, _mm512_or_si512(wide(even), _mm512_slli_epi32(wide(odd), 16)));
#endif
}

// A tile with rows and columns of 4 bytes exchanged.
inline void transpose(const uint32_t* from, uint32_t* to) {
#if defined(SUMI_EMULATE_AVX512)
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) to[16 * j + i] = from[16 * i + j];
#else
  __m512i a[16], b[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(from + 16 * i);
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {  // a[i + j]: column j of each quarter of rows i .. i + 3
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    const __m512i low = _mm512_shuffle_i32x4(a[i], a[4 + i], 0x88);
    const __m512i low2 = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0x88);
    const __m512i high = _mm512_shuffle_i32x4(a[i], a[4 + i], 0xdd);
    const __m512i high2 = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0xdd);
    _mm512_storeu_si512(to + 16 * i, _mm512_shuffle_i32x4(low, low2, 0x88));
    _mm512_storeu_si512(to + 16 * (4 + i), _mm512_shuffle_i32x4(high, high2, 0x88));
    _mm512_storeu_si512(to + 16 * (8 + i), _mm512_shuffle_i32x4(low, low2, 0xdd));
    _mm512_storeu_si512(to + 16 * (12 + i), _mm512_shuffle_i32x4(high, high2, 0xdd));
  }
#endif
}

inline void narrow(const float* x, int64_t count, uint16_t* to) { bf16_from_floats(x, count, to); }
inline void narrow(const uint16_t* x, int64_t count, uint16_t* to) {
  if (count == kProductStep) store_bytes(to, load_bytes(x));
  else std::memcpy(to, x, static_cast<size_t>(count) * 2);
}

// Rows with k one after the other: strips [begin, end).
template <class Number>
void pack_rows(const ProductFactor& f, const Number* x, bool as_b, int64_t begin, int64_t end, uint16_t* out) {
  const int64_t steps = (f.k + kProductStep - 1) / kProductStep;
  alignas(64) uint16_t rows[kTile];
  for (int64_t strip = begin; strip < end; ++strip)
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t first = strip * kProductStrip + 16 * half, count = std::clamp<int64_t>(f.outer - first, 0, 16);
      for (int64_t step = 0; step < steps; ++step) {
        uint16_t* to = out + (strip * steps + step) * kProductPiece + half * kTile;
        uint16_t* tile = as_b ? rows : to;
        const int64_t at = step * kProductStep, width = std::min(kProductStep, f.k - at);
        if (count < 16 || width < kProductStep) std::memset(tile, 0, 2 * kTile);
        for (int64_t r = 0; r < count; ++r) narrow(x + (first + r) * f.stride + at, width, tile + r * kProductStep);
        if (as_b) transpose(reinterpret_cast<const uint32_t*>(rows), reinterpret_cast<uint32_t*>(to));
      }
    }
}

// The other orientation: steps [begin, end).
template <class Number>
void pack_columns(const ProductFactor& f, const Number* x, bool as_b, int64_t begin, int64_t end, uint16_t* out) {
  const int64_t steps = (f.k + kProductStep - 1) / kProductStep;
  alignas(64) uint32_t pairs[kTile / 2];
  for (int64_t step = begin; step < end; ++step)
    for (int64_t first = 0; first < f.outer; first += 16) {
      uint16_t* to =
          out + (first / kProductStrip * steps + step) * kProductPiece + first % kProductStrip / 16 * kTile;
      uint32_t* tile = as_b ? reinterpret_cast<uint32_t*>(to) : pairs;
      const int64_t at = step * kProductStep, depth = std::min(kProductStep, f.k - at);
      const int64_t count = std::min<int64_t>(16, f.outer - first);
      const Number* from = x + at * f.stride + first;
      for (int64_t p = 0; p < kProductStep; p += 2) {
        if (count == 16 && p + 2 <= depth) {
          interleave(from + p * f.stride, from + (p + 1) * f.stride, tile + 8 * p);
          continue;
        }
        Number edge[2][16] = {};
        for (int64_t i = 0; i < 2 && p + i < depth; ++i) std::copy_n(from + (p + i) * f.stride, count, edge[i]);
        interleave(edge[0], edge[1], tile + 8 * p);
      }
      if (!as_b) transpose(pairs, reinterpret_cast<uint32_t*>(to));
      if (first + 16 >= f.outer && first % kProductStrip == 0) std::memset(to + kTile, 0, 2 * kTile);
    }
}

void pack(const ProductFactor& f, bool as_b, int64_t begin, int64_t end, uint16_t* out) {
  const auto run = [&](const auto* x) {
    if (f.outer_contiguous) pack_columns(f, x, as_b, begin, end, out);
    else pack_rows(f, x, as_b, begin, end, out);
  };
  if (f.f32) run(f.f32);
  else run(f.bf16);
}

}  // namespace

const Bf16ProductKernels kBf16Product = {pack, multiply};

#endif

}  // namespace sumi::kernels::SUMI_ISA

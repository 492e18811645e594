// The copies of kernels/bf16_product.h: of processors with tiles, and empty ones.
#include "kernels/bf16_product.h"

#include <algorithm>

#include "kernels/isa/simd_int.h"
#include "kernels/isa/tiles.h"

namespace sumi::kernels::SUMI_ISA {

extern const Bf16ProductKernels kBf16Product;

#if !defined(SUMI_AMX)

const Bf16ProductKernels kBf16Product = {nullptr, nullptr};

#else

namespace {

constexpr int64_t kTile = 16 * 32;   // elements
constexpr int64_t kStepsAtOnce = 16;  // of K: 32 rows of them stay in the first-level cache
static_assert(kProductPiece == 2 * kTile);

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
  std::memcpy(to, x, static_cast<size_t>(count) * 2);
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

// A tile of c: in place, or where it hangs over the edge by way of memory of its own.
struct SumTile {
  float* c;
  int64_t ldc, rows, columns;
  bool whole() const { return rows >= 16 && columns >= 16; }
  bool empty() const { return rows <= 0 || columns <= 0; }
};

template <int kAt>
inline void begin_sum(const SumTile& t, bool accumulate) {
  if (!accumulate || t.empty()) return tile_zero<kAt>();
  if (t.whole()) return tile_load<kAt>(t.c, 4 * t.ldc);
  alignas(64) float edge[16][16] = {};
  for (int64_t r = 0; r < std::min<int64_t>(16, t.rows); ++r)
    std::copy_n(t.c + r * t.ldc, std::min<int64_t>(16, t.columns), edge[r]);
  tile_load<kAt>(edge, 64);
}

template <int kAt>
inline void end_sum(const SumTile& t) {
  if (t.empty()) return;
  if (t.whole()) return tile_store<kAt>(t.c, 4 * t.ldc);
  alignas(64) float edge[16][16];
  tile_store<kAt>(edge, 64);
  for (int64_t r = 0; r < std::min<int64_t>(16, t.rows); ++r)
    std::copy_n(edge[r], std::min<int64_t>(16, t.columns), t.c + r * t.ldc);
}

void multiply(const Bf16ProductKernels::Product& p, int64_t row_begin, int64_t row_end, int64_t column_begin,
              int64_t column_end) {
  const TileShapes shapes;
  for (int64_t step = 0; step < p.steps; step += kStepsAtOnce) {
    const int64_t steps = std::min(kStepsAtOnce, p.steps - step);
    const bool accumulate = p.accumulate || step > 0;
    for (int64_t row = row_begin; row < row_end; ++row)
      for (int64_t column = column_begin; column < column_end; ++column) {
        const uint16_t* a = p.a + (row * p.steps + step) * kProductPiece;
        const uint16_t* b = p.b + (column * p.steps + step) * kProductPiece;
        SumTile t[4];
        for (int64_t i = 0; i < 4; ++i) {
          const int64_t r = row * kProductStrip + i / 2 * 16, c = column * kProductStrip + i % 2 * 16;
          t[i] = {p.c + r * p.ldc + c, p.ldc, p.m - r, p.n - c};
        }
        begin_sum<0>(t[0], accumulate);
        begin_sum<1>(t[1], accumulate);
        begin_sum<2>(t[2], accumulate);
        begin_sum<3>(t[3], accumulate);
        for (int64_t s = 0; s < steps; ++s, a += kProductPiece, b += kProductPiece) {
          tile_load<4>(a, 64);
          tile_load<6>(b, 64);
          tile_load<7>(b + kTile, 64);
          tile_dot_bf16<0, 4, 6>();
          tile_dot_bf16<1, 4, 7>();
          tile_load<5>(a + kTile, 64);
          tile_dot_bf16<2, 5, 6>();
          tile_dot_bf16<3, 5, 7>();
        }
        end_sum<0>(t[0]);
        end_sum<1>(t[1]);
        end_sum<2>(t[2]);
        end_sum<3>(t[3]);
      }
  }
}

}  // namespace

const Bf16ProductKernels kBf16Product = {pack, multiply};

#endif

}  // namespace sumi::kernels::SUMI_ISA

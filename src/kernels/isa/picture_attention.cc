// The copies of kernels/picture_attention.h: those from AVX-512 VNNI on have contents.
#include "kernels/picture_attention.h"

#include <type_traits>

#include "base/round_up.h"
#include "kernels/isa/dot_rows.h"
#include "kernels/isa/simd.h"
#include "kernels/isa/tiles.h"

#if defined(SUMI_BF16)
#include "kernels/isa/bf16_store.h"
#endif

namespace sumi::kernels::SUMI_ISA {

extern const PictureAttentionKernels kPictureAttention;

#if defined(SUMI_BF16)
namespace {

constexpr int64_t kQueries = PictureAttentionKernels::kQueries, kKeys = PictureAttentionKernels::kKeys;
constexpr int64_t kTileBytes = 1024, kTileFloats = 256, kTileNumbers = 512;
constexpr float kLog2E = 1.44269504f;

#if defined(SUMI_AMX)
constexpr int64_t kRowsOfSums = 16;
#else
constexpr int64_t kRowsOfSums = 8;
#endif

// A head of `head_dim` numbers as tiles have it: 32 deep for scores, 16 rows of sums, or 8 by vectors.
struct Sizes {
  int64_t keys, deep, high;
  int64_t pairs;  // of a head's numbers
  Sizes(int64_t key_count, int64_t head_dim)
      : keys(base::round_up(key_count, 32)),
        deep(base::round_up(head_dim, 32)),
        high(base::round_up(head_dim, kRowsOfSums)),
        pairs((head_dim + 1) / 2) {}
  int64_t key_bytes() const { return keys * deep * 2; }
  int64_t value_bytes() const { return keys * high * 2; }
  int64_t sum_bytes() const { return base::round_up(high, 16) * kQueries * 4; }
};

int64_t packed_bytes(int64_t keys, int64_t head_dim) {
  const Sizes s(keys, head_dim);
  return s.key_bytes() + s.value_bytes();
}

// Keys as [keys / 16][deep / 32] tiles of 16 keys, then values as [keys / 32][high / 16] tiles of 16 elements by 32
// keys; absent ones are zero.
void pack(const PictureAttentionKernels::Packing& a) {
  const Sizes s(a.keys, a.head_dim);
  auto* keys = reinterpret_cast<uint16_t*>(a.to);
  for (int64_t key = 0; key < s.keys; ++key)
    for (int64_t d = 0; d < s.deep; d += 32) {
      uint16_t* to = keys + (key / 16 * (s.deep / 32) + d / 32) * kTileNumbers + key % 16 * 32;
      int64_t count = key < a.keys ? a.head_dim - d : 0;
      count = count < 32 ? count : 32;
      if (count > 0) std::memcpy(to, a.k + key * a.row + d, static_cast<size_t>(count) * 2);
      if (count < 32) std::memset(to + count, 0, static_cast<size_t>(32 - count) * 2);
    }
  auto* values = reinterpret_cast<uint16_t*>(a.to + s.key_bytes());
  for (int64_t key = 0; key < s.keys; key += 32) {
    uint16_t* tiles = values + key / 32 * s.high * 32;
    const int64_t count = a.keys - key < 32 ? a.keys - key : 32;
    if (count < 32 || a.head_dim < s.high) std::memset(tiles, 0, static_cast<size_t>(s.high) * 64);
    for (int64_t i = 0; i < count; ++i) {
      const uint16_t* from = a.v + (key + i) * a.row;
      for (int64_t d = 0; d < a.head_dim; ++d) tiles[d * 32 + i] = from[d];
    }
  }
}

struct Scratch {
  uint16_t* queries;  // [deep / 32][2] tiles of 16 pairs by 16 queries
  float* scores;      // [kKeys][2][16]: a tile has its rows 128 bytes apart
  uint16_t* weights;  // [kKeys / 32][2] tiles of 16 pairs of keys by 16 queries
  float* sums;        // [high / 16][2] tiles of 16 elements by 16 queries
  float *maximum, *total, *decay;  // [kQueries]

  Scratch(std::byte* memory, const Sizes& s) {
    const auto take = [&](int64_t bytes) {
      std::byte* own = memory;
      memory += bytes;
      return own;
    };
    queries = reinterpret_cast<uint16_t*>(take(s.deep * kQueries * 2));
    scores = reinterpret_cast<float*>(take(kKeys * kQueries * 4));
    weights = reinterpret_cast<uint16_t*>(take(kKeys * kQueries * 2));
    sums = reinterpret_cast<float*>(take(s.sum_bytes()));
    maximum = reinterpret_cast<float*>(take(kQueries * 4));
    total = reinterpret_cast<float*>(take(kQueries * 4));
    decay = reinterpret_cast<float*>(take(kQueries * 4));
  }
};

int64_t scratch_bytes(int64_t head_dim) {
  const Sizes s(kKeys, head_dim);
  return s.deep * kQueries * 2 + kKeys * kQueries * 6 + s.sum_bytes() + 3 * kQueries * 4;
}

// 2^x for x <= 0: a polynomial of degree 3 on the fraction (relative error 1e-4, a fortieth of bf16's step), times 2 to
// the whole part.
inline Vec exp2_below_0(Vec x) {
#if defined(SUMI_EMULATE_AVX512)
  const Vec kept = max(x, Vec::set1(-126));
  Vec whole = round(kept - Vec::set1(0.5f)), f = kept - whole;
#else
  const Vec f{_mm512_reduce_ps(x.v, 0x09)};  // x - floor(x)
#endif
  Vec p = fma(Vec::set1(0.078024521f), f, Vec::set1(0.22606716f));
  p = fma(p, f, Vec::set1(0.69583354f));
  p = fma(p, f, Vec::set1(0.99992522f));
#if defined(SUMI_EMULATE_AVX512)
  return select_positive(x + Vec::set1(126), p * exp2_integral(whole), Vec::zero());
#else
  return {_mm512_scalef_ps(p.v, x.v)};
#endif
}

void take_queries(const PictureAttentionKernels::Block& a, int64_t first, int64_t count, const Sizes& s, Scratch& m) {
  std::memset(m.queries, 0, static_cast<size_t>(s.deep * kQueries) * 2);
  for (int64_t q = 0; q < count; ++q) {
    const uint16_t* from = a.q + (first + q) * a.q_row;
    for (int64_t d = 0; d < a.head_dim; ++d)
      m.queries[(d / 32 * 2 + q / 16) * kTileNumbers + d % 32 / 2 * 32 + q % 16 * 2 + d % 2] = from[d];
  }
  std::memset(m.sums, 0, static_cast<size_t>(s.sum_bytes()));
  for (int64_t q = 0; q < kQueries; ++q) {
    m.maximum[q] = -1e30f;  // below any score
    m.total[q] = 0;
  }
}

// Weights 2^(factor score - maximum) of n keys (a multiple of 32) in the place of products with values; true if sums must
// shrink by m.decay.
bool weigh(int64_t n, float factor, Scratch& m) {
  bool shrinks = false;
  for (int64_t half = 0; half < 2; ++half) {
    const float* column = m.scores + half * 16;
    Vec highest[4] = {Vec::load(column), Vec::load(column + kQueries), Vec::load(column + 2 * kQueries),
                      Vec::load(column + 3 * kQueries)};
    for (int64_t s = 4; s < n; s += 4)
      for (int j = 0; j < 4; ++j) highest[j] = max(highest[j], Vec::load(column + (s + j) * kQueries));
    const Vec before = Vec::load(m.maximum + half * 16), scale = Vec::set1(factor);
    const Vec top = max(before, scale * max(max(highest[0], highest[1]), max(highest[2], highest[3])));
    shrinks = shrinks || max_lanes(top - before) > 0;
    const Vec shrink = exp2_below_0(before - top);
    const Vec below = Vec::zero() - top;
    Vec sum[2] = {Vec::zero(), Vec::zero()};
    for (int64_t s = 0; s < n; s += 2) {
      const Vec first = exp2_below_0(fma(Vec::load(column + s * kQueries), scale, below));
      const Vec second = exp2_below_0(fma(Vec::load(column + (s + 1) * kQueries), scale, below));
      sum[0] = sum[0] + first;
      sum[1] = sum[1] + second;
      store_pairs(first, second, m.weights + (s / 32 * 2 + half) * kTileNumbers + s % 32 / 2 * 32);
    }
    top.store(m.maximum + half * 16);
    shrink.store(m.decay + half * 16);
    fma(Vec::load(m.total + half * 16), shrink, sum[0] + sum[1]).store(m.total + half * 16);
  }
  return shrinks;
}

#if defined(SUMI_AMX)
// scores [32 keys, kQueries] from two tiles of keys.
inline void score(const uint16_t* keys, const uint16_t* queries, int64_t deep, float* scores) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  for (int64_t d = 0; d < deep / 32; ++d) {
    tile_load<4>(keys + d * kTileNumbers, 64);
    tile_load<6>(queries + d * 2 * kTileNumbers, 64);
    tile_load<7>(queries + (d * 2 + 1) * kTileNumbers, 64);
    tile_load<5>(keys + (deep / 32 + d) * kTileNumbers, 64);
    tile_dot_bf16<0, 4, 6>();
    tile_dot_bf16<1, 4, 7>();
    tile_dot_bf16<2, 5, 6>();
    tile_dot_bf16<3, 5, 7>();
  }
  tile_store<0>(scores, 128);
  tile_store<1>(scores + 16, 128);
  tile_store<2>(scores + 16 * kQueries, 128);
  tile_store<3>(scores + 16 * kQueries + 16, 128);
}

// sums += values (chunks of 32 keys, chunk_numbers apart) times weights, for one or two tiles of elements.
template <bool kTwo>
inline void accumulate(const uint16_t* values, int64_t chunk_numbers, const uint16_t* weights, int64_t chunks,
                       float* sums) {
  tile_load<0>(sums, 64);
  tile_load<1>(sums + kTileFloats, 64);
  if constexpr (kTwo) {
    tile_load<2>(sums + 2 * kTileFloats, 64);
    tile_load<3>(sums + 3 * kTileFloats, 64);
  }
  for (int64_t c = 0; c < chunks; ++c) {
    tile_load<4>(values + c * chunk_numbers, 64);
    tile_load<6>(weights + c * 2 * kTileNumbers, 64);
    tile_load<7>(weights + (c * 2 + 1) * kTileNumbers, 64);
    tile_dot_bf16<0, 4, 6>();
    tile_dot_bf16<1, 4, 7>();
    if constexpr (kTwo) {
      tile_load<5>(values + c * chunk_numbers + kTileNumbers, 64);
      tile_dot_bf16<2, 5, 6>();
      tile_dot_bf16<3, 5, 7>();
    }
  }
  tile_store<0>(sums, 64);
  tile_store<1>(sums + kTileFloats, 64);
  if constexpr (kTwo) {
    tile_store<2>(sums + 2 * kTileFloats, 64);
    tile_store<3>(sums + 3 * kTileFloats, 64);
  }
}

void scores_of(const Sizes& s, const uint16_t* keys, int64_t n, Scratch& m) {
  for (int64_t i = 0; i < n; i += 32) score(keys + i * s.deep, m.queries, s.deep, m.scores + i * kQueries);
}

void add_values(const Sizes& s, const uint16_t* values, int64_t n, Scratch& m) {
  int64_t d = 0;
  for (; d + 32 <= s.high; d += 32)
    accumulate<true>(values + d * 32, s.high * 32, m.weights, n / 32, m.sums + d * kQueries);
  if (d < s.high) accumulate<false>(values + d * 32, s.high * 32, m.weights, n / 32, m.sums + d * kQueries);
}
#else

// The same by vectors: tiles of queries, weights and sums lie as for AMX, keys and values in the same tiles, of which rows
// are read alone.
template <int kCount>
inline void score(const Sizes& s, int64_t pairs, const uint16_t* keys, int64_t first, Scratch& m) {
  Vec sum[kCount][2];
  SUMI_UNROLLED
  for (int r = 0; r < kCount; ++r) sum[r][0] = sum[r][1] = Vec::zero();
  for (int64_t d = 0; d < s.deep / 32; ++d) {
    const auto* weights = reinterpret_cast<const std::byte*>(m.queries + d * 2 * kTileNumbers);
    const int64_t left = pairs - 16 * d;
    dot_lines<Dot<false>, kCount>(reinterpret_cast<const std::byte*>(keys + d * kTileNumbers), 64, weights, kTileBytes,
                             left < 16 ? left : 16, sum);
  }
  SUMI_UNROLLED
  for (int r = 0; r < kCount; ++r)
    SUMI_UNROLLED
    for (int j = 0; j < 2; ++j) sum[r][j].store(m.scores + (first + r) * kQueries + 16 * j);
}

// Blocks of 8 rows divide tiles of 16.
void scores_of(const Sizes& s, const uint16_t* keys, int64_t n, Scratch& m) {
  for (int64_t i = 0; i < n; i += 8)
    score<8>(s, s.pairs, keys + i / 16 * 16 * s.deep + i % 16 * 32, i, m);
}

template <int kCount>
inline void accumulate(const Sizes& s, const uint16_t* values, int64_t chunks, int64_t first, Scratch& m) {
  float* to = m.sums + first / 16 * 2 * kTileFloats + first % 16 * 16;
  Vec sum[kCount][2];
  SUMI_UNROLLED
  for (int r = 0; r < kCount; ++r)
    SUMI_UNROLLED
    for (int j = 0; j < 2; ++j) sum[r][j] = Vec::load(to + r * 16 + j * kTileFloats);
  for (int64_t c = 0; c < chunks; ++c)
    dot_lines<Dot<false>, kCount>(reinterpret_cast<const std::byte*>(values + c * s.high * 32 + first * 32), 64,
                             reinterpret_cast<const std::byte*>(m.weights + c * 2 * kTileNumbers), kTileBytes, 16, sum);
  SUMI_UNROLLED
  for (int r = 0; r < kCount; ++r)
    SUMI_UNROLLED
    for (int j = 0; j < 2; ++j) sum[r][j].store(to + r * 16 + j * kTileFloats);
}

void add_values(const Sizes& s, const uint16_t* values, int64_t n, Scratch& m) {
  for (int64_t d = 0; d < s.high; d += 8) accumulate<8>(s, values, n / 32, d, m);
}
#endif

void shrink_sums(const Sizes& s, const Scratch& m) {
  for (int64_t half = 0; half < 2; ++half) {
    const Vec decay = Vec::load(m.decay + half * 16);
    for (int64_t d = 0; d < s.high; ++d) {
      float* row = m.sums + (d / 16 * 2 + half) * kTileFloats + d % 16 * 16;
      (Vec::load(row) * decay).store(row);
    }
  }
}

void finish(const PictureAttentionKernels::Block& a, int64_t first, int64_t count, const Scratch& m) {
  for (int64_t half = 0; half < 2; ++half) {
    const Vec inverse = Vec::set1(1) / Vec::load(m.total + half * 16);
    for (int64_t d = 0; d < a.head_dim; ++d) {
      uint16_t row[16];
      store_bf16(Vec::load(m.sums + (d / 16 * 2 + half) * kTileFloats + d % 16 * 16) * inverse, row);
      for (int64_t q = 0; q < 16 && half * 16 + q < count; ++q) a.out[(first + half * 16 + q) * a.out_row + d] = row[q];
    }
  }
}

void attend(const PictureAttentionKernels::Block& a) {
#if defined(SUMI_AMX)
  const TileShapes shapes;
#endif
  const Sizes s(a.keys, a.head_dim);
  Scratch m(a.scratch, s);
  const auto* keys = reinterpret_cast<const uint16_t*>(a.packed);
  const auto* values = reinterpret_cast<const uint16_t*>(a.packed + s.key_bytes());
  const float factor = a.scale * kLog2E;
  for (int64_t first = 0; first < a.queries; first += kQueries) {
    const int64_t count = a.queries - first < kQueries ? a.queries - first : kQueries;
    take_queries(a, first, count, s, m);
    for (int64_t key = 0; key < s.keys; key += kKeys) {
      const int64_t n = s.keys - key < kKeys ? s.keys - key : kKeys;
      scores_of(s, keys + key * s.deep, n, m);
      for (int64_t i = (a.keys - key) * kQueries; i < n * kQueries; ++i) m.scores[i] = -1e30f;  // absent keys
      if (weigh(n, factor, m)) shrink_sums(s, m);
      add_values(s, values + key * s.high, n, m);
    }
    finish(a, first, count, m);
  }
}

}  // namespace

const PictureAttentionKernels kPictureAttention = {packed_bytes, scratch_bytes, pack, attend};
#else
const PictureAttentionKernels kPictureAttention = {};
#endif

}  // namespace sumi::kernels::SUMI_ISA

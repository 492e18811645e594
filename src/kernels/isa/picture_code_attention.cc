// The copies of picture_code_attention_kernels() (kernels/picture_attention.h): those of processors that multiply fours of
// int8 in vectors, and bf16, have contents.
#include "kernels/picture_attention.h"

#include "base/round_up.h"
#include "kernels/isa/dot_rows.h"
#include "kernels/isa/exp2.h"

namespace sumi::kernels::SUMI_ISA {

extern const PictureAttentionKernels kPictureCodeAttention;

#if defined(SUMI_DOT_ROWS)
namespace {

constexpr int64_t kQueries = PictureAttentionKernels::kQueries, kKeys = PictureAttentionKernels::kKeys;
constexpr int64_t kTogether = 8;  // keys, or elements of a value, whose sums are formed together
constexpr float kLog2E = 1.44269504f, kLog2Of255 = 7.99435344f;
// Integer sums begin at the bits of this float, so that they are floats that lie as much above it, as long as they are below
// 2^22: 260 products of codes.
constexpr float kZeroSum = 12582912;  // 1.5 * 2^23

// What lies where for a head. Keys after the last repeat it, so that they do not raise a maximum; their values and their
// place in `counted` are zero.
struct Sizes {
  int64_t keys, groups, wide, high, blocks;  // wide: of vectors of 16 floats; high: elements of a value whose sums are formed
  Sizes(int64_t key_count, int64_t head_dim)
      : keys(base::round_up(key_count, 32)),
        groups((head_dim + 3) / 4),
        wide(base::round_up(head_dim, 16)),
        high(base::round_up(head_dim, kTogether)),
        blocks((key_count + kKeys - 1) / kKeys) {}
  int64_t block_keys(int64_t block) const { return block + 1 < blocks ? kKeys : keys - block * kKeys; }
};

// Keys less their mean (which changes no weight), with a scale for each block of kKeys; values less the middle of their
// range, with a scale for each element of a value. Codes are whole numbers to 127.
struct Packed {
  float *key_scales, *value_scales, *value_middles;
  std::byte* counted;  // [keys]: 1, or 0 of those after the last
  std::byte* key_codes;    // [keys][groups][4], each higher by 128
  std::byte* value_codes;  // for each block of n keys [high][n]
  int64_t bytes = 0;

  Packed(const std::byte* memory, const Sizes& s) {
    auto* base = const_cast<std::byte*>(memory);
    const auto take = [&](int64_t size) {
      std::byte* own = base ? base + bytes : nullptr;
      bytes += base::round_up(size, 64);
      return own;
    };
    key_scales = reinterpret_cast<float*>(take(s.blocks * 4));
    value_scales = reinterpret_cast<float*>(take(s.wide * 4));
    value_middles = reinterpret_cast<float*>(take(s.wide * 4));
    counted = take(s.keys);
    key_codes = take(s.keys * s.groups * 4);
    value_codes = take(s.keys * s.high);
  }
};

int64_t packed_bytes(int64_t keys, int64_t head_dim) { return Packed(nullptr, Sizes(keys, head_dim)).bytes; }

// A row of bf16 as floats, zeros after its end.
void widen_row(const uint16_t* from, int64_t count, float* to) {
  int64_t d = 0;
  for (; d + 16 <= count; d += 16) load_bf16(from + d).store(to + d);
  if (d == count) return;
  uint16_t rest[16] = {};
  std::memcpy(rest, from + d, static_cast<size_t>(count - d) * 2);
  load_bf16(rest).store(to + d);
}

// The largest magnitude of a row less `middle`, which is taken off.
Vec centre(float* row, const float* middle, int64_t wide) {
  Vec largest = Vec::zero();
  for (int64_t d = 0; d < wide; d += 16) {
    const Vec x = Vec::load(row + d) - Vec::load(middle + d);
    x.store(row + d);
    largest = max(largest, absolute(x));
  }
  return largest;
}

inline float inverse_of(float scale) { return scale > 0 ? 1 / scale : 0; }

constexpr int64_t kMost = PictureAttentionKernels::kMostCodes;

void pack_keys(const PictureAttentionKernels::Packing& a, const Sizes& s, const Packed& to) {
  alignas(64) float mean[kMost], row[kMost];
  for (int64_t d = 0; d < s.wide; ++d) mean[d] = 0;
  for (int64_t key = 0; key < a.keys; ++key) {
    widen_row(a.k + key * a.row, a.head_dim, row);
    for (int64_t d = 0; d < s.wide; d += 16) (Vec::load(mean + d) + Vec::load(row + d)).store(mean + d);
  }
  for (int64_t d = 0; d < s.wide; ++d) mean[d] /= static_cast<float>(a.keys);
  const auto read = [&](int64_t key) {  // less the mean, and its largest magnitude
    widen_row(a.k + (key < a.keys ? key : a.keys - 1) * a.row, a.head_dim, row);
    return centre(row, mean, s.wide);
  };
  for (int64_t block = 0; block < s.blocks; ++block) {
    const int64_t first = block * kKeys, end = first + s.block_keys(block);
    Vec largest = Vec::zero();
    for (int64_t key = first; key < end; ++key) largest = max(largest, read(key));
    const float scale = max_lanes(largest) / 127;
    to.key_scales[block] = scale;
    const Vec inverse = Vec::set1(inverse_of(scale));
    for (int64_t key = first; key < end; ++key) {
      read(key);
      std::byte* codes = to.key_codes + key * s.groups * 4;
      for (int64_t d = 0; d < s.groups * 4; d += 16) {
        int8_t own[16];
        round_16(row + d, inverse, own);
        for (int64_t j = 0; j < 16 && d + j < s.groups * 4; ++j) codes[d + j] = static_cast<std::byte>(own[j] + 128);
      }
    }
  }
}

void pack_values(const PictureAttentionKernels::Packing& a, const Sizes& s, const Packed& to) {
  alignas(64) float low[kMost], high[kMost], row[kMost], inverse[kMost];
  for (int64_t d = 0; d < s.wide; ++d) low[d] = 1e30f, high[d] = -1e30f;
  for (int64_t key = 0; key < a.keys; ++key) {
    widen_row(a.v + key * a.row, a.head_dim, row);
    for (int64_t d = 0; d < s.wide; d += 16) {
      const Vec x = Vec::load(row + d);
      min(Vec::load(low + d), x).store(low + d);
      max(Vec::load(high + d), x).store(high + d);
    }
  }
  for (int64_t d = 0; d < s.wide; ++d) {
    to.value_middles[d] = (low[d] + high[d]) / 2;
    to.value_scales[d] = (high[d] - low[d]) / 254;
    inverse[d] = inverse_of(to.value_scales[d]);
  }
  for (int64_t block = 0; block < s.blocks; ++block) {
    const int64_t n = s.block_keys(block), left = a.keys - block * kKeys, count = left < n ? left : n;
    std::byte* codes = to.value_codes + block * kKeys * s.high;
    if (count < n || a.head_dim < s.high) std::memset(codes, 0, static_cast<size_t>(n * s.high));
    for (int64_t i = 0; i < count; ++i) {
      widen_row(a.v + (block * kKeys + i) * a.row, a.head_dim, row);
      for (int64_t d = 0; d < s.wide; d += 16) {
        int8_t own[16];
        ((Vec::load(row + d) - Vec::load(to.value_middles + d)) * Vec::load(inverse + d)).store(row + d);
        round_16(row + d, Vec::set1(1), own);
        for (int64_t j = 0; j < 16 && d + j < a.head_dim; ++j) codes[(d + j) * n + i] = static_cast<std::byte>(own[j]);
      }
    }
  }
}

void pack(const PictureAttentionKernels::Packing& a) {
  const Sizes s(a.keys, a.head_dim);
  const Packed to(a.to, s);
  pack_keys(a, s, to);
  pack_values(a, s, to);
  std::memset(to.counted, 1, static_cast<size_t>(a.keys));
  std::memset(to.counted + a.keys, 0, static_cast<size_t>(s.keys - a.keys));
}

struct Scratch {
  std::byte* queries;  // [2][groups][16 queries][4]
  float* scores;       // [kKeys][2][16]
  std::byte* weights;  // [2][kKeys / 4][16 queries][4]
  float* sums;         // [high][2][16]
  int32_t* offsets;    // [kQueries]: where the sums of scores begin
  // [kQueries]: the scales of queries; the largest score of a block, as an integer sum; what the sums were multiplied by to
  // make weights from 0 to 1; the sums of weights; what sums shrink by; what a block's integer sums count.
  float *scales, *highest, *maximum, *total, *decay, *share;
  int64_t bytes = 0;

  Scratch(std::byte* memory, const Sizes& s) {
    const auto take = [&](int64_t size) {
      std::byte* own = memory ? memory + bytes : nullptr;
      bytes += size;
      return own;
    };
    const auto row = [&] { return reinterpret_cast<float*>(take(kQueries * 4)); };
    queries = take(s.groups * kQueries * 4);
    scores = reinterpret_cast<float*>(take(kKeys * kQueries * 4));
    weights = take(kKeys * kQueries);
    sums = reinterpret_cast<float*>(take(s.high * kQueries * 4));
    offsets = reinterpret_cast<int32_t*>(take(kQueries * 4));
    scales = row(), highest = row(), maximum = row(), total = row(), decay = row(), share = row();
  }
};

int64_t scratch_bytes(int64_t head_dim) { return Scratch(nullptr, Sizes(kKeys, head_dim)).bytes; }

// Queries as codes with a scale for each; those after the last are zero.
void take_queries(const PictureAttentionKernels::Block& a, int64_t first, int64_t count, const Sizes& s, Scratch& m) {
  alignas(64) float row[kMost];
  int8_t codes[kMost] = {};
  const Vec zero = Vec::zero();
  for (int64_t q = 0; q < kQueries; ++q) {
    Vec largest = zero;
    if (q < count) widen_row(a.q + (first + q) * a.q_row, a.head_dim, row);
    for (int64_t d = 0; d < s.wide; d += 16) {
      if (q >= count) zero.store(row + d);
      largest = max(largest, absolute(Vec::load(row + d)));
    }
    m.scales[q] = max_lanes(largest) / 127;
    const Vec inverse = Vec::set1(inverse_of(m.scales[q]));
    int32_t sum = 0;
    for (int64_t d = 0; d < s.wide; d += 16) {
      round_16(row + d, inverse, codes + d);
      for (int64_t j = 0; j < 16; ++j) sum += codes[d + j];
    }
    m.offsets[q] = std::bit_cast<int32_t>(kZeroSum) - 128 * sum;
    std::byte* to = m.queries + q / 16 * s.groups * 64 + q % 16 * 4;
    for (int64_t g = 0; g < s.groups; ++g) std::memcpy(to + g * 64, codes + g * 4, 4);
    m.maximum[q] = -1e30f;  // below any score
    m.total[q] = 0;
  }
  std::memset(m.sums, 0, static_cast<size_t>(s.high * kQueries) * 4);
}

// Scores of n keys as integer sums, and the largest of each query.
void scores_of(const Sizes& s, const std::byte* keys, int64_t n, Scratch& m) {
  Vec highest[2] = {Vec::zero(), Vec::zero()};
  for (int64_t i = 0; i < n; i += kTogether) {
    Register sum[kTogether][2];
    begin_sums<true, kTogether>(m.offsets, sum);
    dot_lines<Dot<true>, kTogether>(keys + i * s.groups * 4, s.groups * 4, m.queries, s.groups * 64, s.groups, sum);
    SUMI_UNROLLED
    for (int r = 0; r < kTogether; ++r)
      SUMI_UNROLLED
      for (int j = 0; j < 2; ++j) {
        store_bytes(m.scores + (i + r) * kQueries + 16 * j, sum[r][j]);
        highest[j] = max(highest[j], Vec{_mm512_castsi512_ps(sum[r][j])});
      }
  }
  for (int j = 0; j < 2; ++j) highest[j].store(m.highest + 16 * j);
}

// Four registers of whole numbers from 0 to 255 as groups of bytes.
inline Register groups_of(const Vec* numbers) {
#if defined(SUMI_EMULATE_AVX512)
  Register groups = zero_register();
  for (int k = 0; k < 4; ++k)
    groups = bit_or(groups, _mm512_slli_epi32(_mm512_cvtps_epi32(min(numbers[k], Vec::set1(255)).v), 8 * k));
  return groups;
#else
  const auto pair = [&](int k) {
    return _mm512_packus_epi32(_mm512_cvtps_epi32(numbers[k].v), _mm512_cvtps_epi32(numbers[k + 1].v));
  };
  const Register order = _mm512_broadcast_i32x4(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
  return _mm512_shuffle_epi8(_mm512_packus_epi16(pair(0), pair(2)), order);
#endif
}

// Weights of n keys, 255 2^(factor scale (score - the largest in the block)), rounded; factor: of all queries.
void weigh(int64_t n, float factor, const std::byte* counted, Scratch& m) {
  for (int64_t half = 0; half < 2; ++half) {
    const float* column = m.scores + half * 16;
    std::byte* to = m.weights + half * kKeys * 16;
    const Vec scale = Vec::set1(factor) * Vec::load(m.scales + half * 16), highest = Vec::load(m.highest + half * 16);
    const Vec below = Vec::set1(kLog2Of255) - scale * highest;
    Register sum = zero_register();
    for (int64_t s = 0; s < n; s += 4) {
      Vec weight[4];
      SUMI_UNROLLED
      for (int k = 0; k < 4; ++k) weight[k] = exp2_coarse(fma(Vec::load(column + (s + k) * kQueries), scale, below));
      const Register groups = groups_of(weight);
      store_bytes(to + s * 16, groups);
      sum = Dot<true>::add(sum, groups, splat_group(counted + s));
    }
    const Vec before = Vec::load(m.maximum + half * 16), own = scale * (highest - Vec::set1(kZeroSum)), top = max(before, own);
    const Vec decay = exp2_coarse(before - top), share = exp2_coarse(own - top);
    top.store(m.maximum + half * 16);
    decay.store(m.decay + half * 16);
    share.store(m.share + half * 16);
    fma(Vec::load(m.total + half * 16), decay, share * to_float(sum)).store(m.total + half * 16);
  }
}

// Adds the values of n keys, times their weights.
void add_values(const Sizes& s, const std::byte* values, int64_t n, Scratch& m) {
  Vec decay[2], share[2];
  for (int j = 0; j < 2; ++j) {
    decay[j] = Vec::load(m.decay + 16 * j);
    share[j] = Vec::load(m.share + 16 * j);
  }
  for (int64_t d = 0; d < s.high; d += kTogether) {
    Register sum[kTogether][2];
    SUMI_UNROLLED
    for (int r = 0; r < kTogether; ++r) sum[r][0] = sum[r][1] = zero_register();
    dot_lines<DotSigned, kTogether>(values + d * n, n, m.weights, kKeys * 16, n / 4, sum);
    SUMI_UNROLLED
    for (int r = 0; r < kTogether; ++r)
      SUMI_UNROLLED
      for (int j = 0; j < 2; ++j) {
        float* to = m.sums + (d + r) * kQueries + 16 * j;
        fma(Vec::load(to), decay[j], share[j] * to_float(sum[r][j])).store(to);
      }
  }
}

void finish(const PictureAttentionKernels::Block& a, int64_t first, int64_t count, const Packed& packed, const Scratch& m) {
  for (int64_t half = 0; half < 2; ++half) {
    const Vec inverse = Vec::set1(1) / Vec::load(m.total + half * 16);
    for (int64_t d = 0; d < a.head_dim; ++d) {
      uint16_t row[16];
      const Vec mean = Vec::load(m.sums + d * kQueries + half * 16) * inverse;
      store_bf16(fma(mean, Vec::set1(packed.value_scales[d]), Vec::set1(packed.value_middles[d])), row);
      for (int64_t q = 0; q < 16 && half * 16 + q < count; ++q) a.out[(first + half * 16 + q) * a.out_row + d] = row[q];
    }
  }
}

void attend(const PictureAttentionKernels::Block& a) {
  const Sizes s(a.keys, a.head_dim);
  const Packed packed(a.packed, s);
  Scratch m(a.scratch, s);
  for (int64_t first = 0; first < a.queries; first += kQueries) {
    const int64_t count = a.queries - first < kQueries ? a.queries - first : kQueries;
    take_queries(a, first, count, s, m);
    for (int64_t block = 0; block < s.blocks; ++block) {
      const int64_t key = block * kKeys, n = s.block_keys(block);
      scores_of(s, packed.key_codes + key * s.groups * 4, n, m);
      weigh(n, a.scale * kLog2E * packed.key_scales[block], packed.counted + key, m);
      add_values(s, packed.value_codes + key * s.high, n, m);
    }
    finish(a, first, count, packed, m);
  }
}

}  // namespace

const PictureAttentionKernels kPictureCodeAttention = {packed_bytes, scratch_bytes, pack, attend};
#else
const PictureAttentionKernels kPictureCodeAttention = {};
#endif

}  // namespace sumi::kernels::SUMI_ISA

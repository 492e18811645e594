// Products of int8 activations with weights stored as whole-number codes (layout: kernels/packed_matrix.h).
//
// One micro-kernel, instantiated for each code width, kind of scale and number of activation rows. For each output it
// sums products of a block exactly, in integers, then adds
//   (float(sum - zero_point * sum of activations) * activation scale) * weight scale  [+ min * scaled sum]
// to the output's float, block after block. One row or many: the same operations in the same order. The second
// term of the sum is what a block's sum starts from (MatmulArgs::offsets): that costs a load and no arithmetic.
#include "kernels/isa/code_panels.h"
#include "kernels/isa/expanded_panels.h"

namespace sumi::kernels::SUMI_ISA {

namespace {

// Weights with a zero point. 8-bit codes lose it before the product where magnitudes and signs are split.
constexpr bool has_offset(CodeKind code, ScaleKind scale) {
  return (scale == ScaleKind::half || scale == ScaleKind::k16) && (code != CodeKind::u8 || kDirectDot);
}

// How many groups (of 4 k) of u8 x s8 pair sums fit in 16 bits: groups * 2 * max code * 127 < 2^15. For 8-bit codes
// magnitudes and signs are separated first, and one group fits.
constexpr int groups_in_16_bits(CodeKind code) {
  return code == CodeKind::u4 ? 8 : code == CodeKind::u5 ? 4 : code == CodeKind::u6 ? 2 : 1;
}

// Adds groups [kGroup, kEnd) to the 32-bit sums, or to the 16-bit sums where the level has no direct dot product.
template <CodeKind kCode, int kRows, int kGroup, int kEnd>
SUMI_INLINE void add_groups(const PanelPointers& p, const int8_t* x, int64_t stride,
                            Register (&sum)[kRows][kVectors]) {
  if constexpr (kGroup < kEnd) {
    Register w[kVectors];
    SUMI_UNROLL
    for (int v = 0; v < kVectors; ++v) w[v] = load_group<kCode, kGroup>(p, v);
#if defined(SUMI_VNNI) || !(defined(SUMI_AVX512) || defined(SUMI_AVX2))
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Register a = splat_group(x + r * stride + 4 * kGroup);
      SUMI_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[r][v] = dot_u8_s8(sum[r][v], w[v], a);
    }
#else
    if constexpr (kCode == CodeKind::u8) {
      Register magnitude[kVectors];
      SUMI_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        w[v] = bit_xor(w[v], splat8(static_cast<char>(-128)));
        magnitude[v] = magnitude8(w[v]);
      }
      SUMI_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Register a = splat_group(x + r * stride + 4 * kGroup);
        SUMI_UNROLL
        for (int v = 0; v < kVectors; ++v)
          sum[r][v] = add32(sum[r][v], pairs_16(pairs_u8_s8(magnitude[v], with_sign8(a, w[v]))));
      }
    } else {
      SUMI_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Register a = splat_group(x + r * stride + 4 * kGroup);
        SUMI_UNROLL
        for (int v = 0; v < kVectors; ++v) sum[r][v] = add16(sum[r][v], pairs_u8_s8(w[v], a));
      }
    }
#endif
    add_groups<kCode, kRows, kGroup + 1, kEnd>(p, x, stride, sum);
  }
}

// Exact 32-bit sums of groups [kBegin, kEnd) of a block.
template <CodeKind kCode, int kRows, int kBegin, int kEnd>
SUMI_INLINE void sum_groups(const PanelPointers& p, const int8_t* x, int64_t stride,
                            Register (&sum)[kRows][kVectors]) {
  if constexpr (kDirectDot || kCode == CodeKind::u8) {
    add_groups<kCode, kRows, kBegin, kEnd>(p, x, stride, sum);
  } else if constexpr (kBegin < kEnd) {
#if !defined(SUMI_VNNI) && (defined(SUMI_AVX512) || defined(SUMI_AVX2))
    constexpr int kLimit = groups_in_16_bits(kCode);
    constexpr int kStop = kEnd - kBegin < kLimit ? kEnd : kBegin + kLimit;
    Register sum16[kRows][kVectors];
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLL
      for (int v = 0; v < kVectors; ++v) sum16[r][v] = zero_register();
    add_groups<kCode, kRows, kBegin, kStop>(p, x, stride, sum16);
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[r][v] = add32(sum[r][v], pairs_16(sum16[r][v]));
    sum_groups<kCode, kRows, kStop, kEnd>(p, x, stride, sum);
#endif
  }
}

// Groups [kBegin, kEnd) of a block, all under one scale, into the float sums. `part` indexes sums and scaled_sums.
template <CodeKind kCode, ScaleKind kScale, int kRows, int kBegin, int kEnd>
SUMI_INLINE void add_block(const PanelPointers& p, const MatmulArgs& args, int64_t row, int64_t block,
                           Vec (&total)[kRows][kVectors]) {
  constexpr int kPart = kEnd - kBegin == 8 ? 2 : kBegin / 4;
  const int64_t k = args.weight.k, blocks = k / kBlock;
  Register sum[kRows][kVectors];
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r) {
    Register offset = splat32(kFirstSum);
    if constexpr (has_offset(kCode, kScale)) offset = splat32(args.offsets[((row + r) * blocks + block) * 3 + kPart]);
    SUMI_UNROLL
    for (int v = 0; v < kVectors; ++v) sum[r][v] = offset;
  }
  sum_groups<kCode, kRows, kBegin, kEnd>(p, args.q.codes + row * k + block * kBlock, k, sum);
  Vec scale[kVectors], min[kVectors];
  SUMI_UNROLL
  for (int v = 0; v < kVectors; ++v) load_scales<kCode, kScale>(p, kBegin / 4, v, scale[v], min[v]);
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const int64_t at = (row + r) * blocks + block;
    const Vec activation_scale = Vec::set1(args.q.scales[at]), shift = Vec::set1(args.q.shifts[at]);
    Vec scaled_sum = Vec::zero();
    if constexpr (has_min(kScale)) scaled_sum = Vec::set1(args.q.scaled_sums[at * 3 + kPart]);
    SUMI_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      total[r][v] = fma(scaled(sum[r][v], activation_scale, shift), scale[v], total[r][v]);
      if constexpr (has_min(kScale)) total[r][v] = fma(min[v], scaled_sum, total[r][v]);
    }
  }
}

// Rows [row, row + kRows) of a panel.
template <CodeKind kCode, ScaleKind kScale, int kRows>
void panel_rows(const MatmulArgs& args, int64_t panel, int64_t row) {
  PanelPointers p = panel_at<kCode, kScale>(args.weight, panel, 0);
  Vec total[kRows][kVectors];
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r)
    SUMI_UNROLL
    for (int v = 0; v < kVectors; ++v) total[r][v] = Vec::zero();
  const int64_t blocks = args.weight.k / kBlock;
  ReadAhead<1> ahead(args, panel);
  for (int64_t block = 0; block < blocks; ++block) {
    if constexpr (kRows <= 2) ahead.step(block_bytes(kCode, kScale));
    if constexpr (halves(kScale)) {
      add_block<kCode, kScale, kRows, 0, 4>(p, args, row, block, total);
      add_block<kCode, kScale, kRows, 4, 8>(p, args, row, block, total);
    } else {
      add_block<kCode, kScale, kRows, 0, 8>(p, args, row, block, total);
    }
    advance<kCode, kScale>(p, block);
  }
  for (int r = 0; r < kRows; ++r) store_panel_row(args, args.bias, panel, row + r, total[r]);
}

template <CodeKind kCode, ScaleKind kScale>
void panels(const MatmulArgs& args, int64_t begin, int64_t end) {
#if defined(SUMI_VNNI)
  begin = expanded_panels<kCode, kScale>(args, begin, end);
#endif
  for (int64_t panel = begin; panel < end; ++panel) {
    int64_t row = 0;
#if defined(SUMI_AVX512)
    for (; row + 8 <= args.m; row += 8) panel_rows<kCode, kScale, 8>(args, panel, row);
#endif
#if defined(SUMI_AVX512) || defined(SUMI_AVX2)
    for (; row + 4 <= args.m; row += 4) panel_rows<kCode, kScale, 4>(args, panel, row);
#endif
    for (; row + 2 <= args.m; row += 2) panel_rows<kCode, kScale, 2>(args, panel, row);
    for (; row < args.m; ++row) panel_rows<kCode, kScale, 1>(args, panel, row);
  }
}

}  // namespace

void matmul_codes(const MatmulArgs& args, int64_t begin, int64_t end) {
  for_kinds(args.weight, [&]<CodeKind kCode, ScaleKind kScale>() { panels<kCode, kScale>(args, begin, end); });
}

namespace {

constexpr int64_t kStretch = 64;  // blocks that are rounded before their codes are summed

// Where what is known of a row's blocks goes.
class RowPlaces {
 public:
  RowPlaces(const QuantizedRows& q, int64_t row, int64_t blocks)
      : q_(q),
        grouped_(q.group_factors != nullptr),
        first_(grouped_ ? row / kGroupRows * blocks : row * blocks),
        lane_(grouped_ ? row % kGroupRows : 0) {}
  // Where the codes of a stretch from `block` on are rounded to: their place, or a buffer, from which to take them.
  int8_t* codes(int64_t block, int8_t* buffer) const { return grouped_ ? buffer : q_.codes + (first_ + block) * kBlock; }
  void take(int64_t block, const int8_t* codes) const {
    if (grouped_) std::memcpy(q_.codes + ((first_ + block) * kGroupRows + lane_) * kBlock, codes, kBlock);
  }
  void put(int64_t block, float scale, const int32_t (&sums)[3]) const {
    const int64_t at = first_ + block;
    const float shift = -kSumBiasValue * scale;
    if (grouped_) {
      float* factors = q_.group_factors + at * kGroupFactors * kGroupRows + lane_;
      factors[0] = scale;
      factors[kGroupRows] = shift;
    } else {
      q_.scales[at] = scale;
      q_.shifts[at] = shift;
    }
    for (int64_t j = 0; j < 3; ++j) {
      const float scaled_sum = scale * static_cast<float>(sums[j]);
      if (grouped_) {
        q_.sums[(at * 3 + j) * kGroupRows + lane_] = sums[j];
        q_.group_factors[(at * kGroupFactors + 2 + j) * kGroupRows + lane_] = scaled_sum;
      } else {
        q_.sums[at * 3 + j] = sums[j];
        q_.scaled_sums[at * 3 + j] = scaled_sum;
      }
    }
  }

 private:
  const QuantizedRows& q_;
  bool grouped_;
  int64_t first_, lane_;
};

#if defined(SUMI_AMX)
void put_in_tiles(const QuantizedRows& q, int64_t row, int64_t blocks) {
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t tile = row / kTileRows * blocks + b, lane = row % kTileRows, at = row * blocks + b;
    q.tile_scales[tile * kTileRows + lane] = q.scales[at];
    for (int j = 0; j < 3; ++j) q.tile_scaled_sums[(tile * 3 + j) * kTileRows + lane] = q.scaled_sums[at * 3 + j];
  }
}
#endif

}  // namespace

void quantize_row(const float* x, int64_t k, int64_t row, const QuantizedRows& q) {
  const int64_t blocks = k / kBlock;
  const RowPlaces places(q, row, blocks);
  alignas(64) int8_t buffer[kStretch * kBlock];
  float scales[kStretch];
  for (int64_t begin = 0; begin < blocks; begin += kStretch) {
    const int64_t count = begin + kStretch < blocks ? kStretch : blocks - begin;
    int8_t* codes = places.codes(begin, buffer);
    for (int64_t b = 0; b < count; ++b) {
      const float* from = x + (begin + b) * kBlock;
      Vec largest = Vec::zero();
      for (int i = 0; i < kBlock; i += Vec::kWidth) largest = max(largest, absolute(Vec::load(from + i)));
      const float magnitude = max_lanes(largest);
      const Vec inverse = Vec::set1(magnitude > 0 ? 127 / magnitude : 0);
      scales[b] = std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude / 127) & ~uint32_t{3});
      round_16(from, inverse, codes + b * kBlock);
      round_16(from + 16, inverse, codes + b * kBlock + 16);
    }
    // The sums in a second pass: the bytes just written cannot be read at once in wider registers.
    constexpr int kBlocks = kRegisterBytes / kBlock;
    static_assert(kBlocks == 1 || kBlocks == 2);
    for (int64_t b = 0; b < count; b += kBlocks) {
      const bool whole = b + kBlocks <= count;
      int8_t padded[kRegisterBytes] = {};
      if (!whole) std::memcpy(padded, codes + b * kBlock, kBlock);
      int32_t quads[kRegisterBytes / 4];
      store_bytes(quads, sum_of_4(load_bytes(whole ? codes + b * kBlock : padded)));
      for (int64_t i = 0; i < kBlocks && b + i < count; ++i) {
        const int32_t* quad = quads + i * 8;
        const int32_t low = quad[0] + quad[1] + quad[2] + quad[3], high = quad[4] + quad[5] + quad[6] + quad[7];
        places.put(begin + b + i, scales[b + i], {low, high, low + high});
        places.take(begin + b + i, codes + (b + i) * kBlock);
      }
    }
  }
#if defined(SUMI_AMX)
  if (q.tile_scales) put_in_tiles(q, row, blocks);
#endif
}

}  // namespace sumi::kernels::SUMI_ISA

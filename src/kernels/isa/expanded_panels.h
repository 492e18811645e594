// Products of many rows of activations with codes of fewer than 8 bits, or with scales in two levels: each pair of
// panels is expanded once to bytes and float scales, in the caches, and then multiplied with all rows. The
// operations on a block, and their order, are those of matmul_codes.cc, so results are the same bits.
#pragma once

#include "kernels/isa/code_panels.h"
#include "kernels/isa/code_tiles.h"

#if defined(SUMI_VNNI)

namespace sumi::kernels::SUMI_ISA {

namespace expanded {

inline constexpr int kPair = 2;           // panels that share the loads of activations
inline constexpr int64_t kMostBlocks = 192;  // of K that are expanded at a time: 288 KB of stack
inline constexpr int64_t kLeastRows = 12;    // fewer rows do not pay for expanding

struct Pair {
  alignas(64) std::byte codes[kPair][kMostBlocks * 32 * kPanel];
  alignas(64) float scales[kPair][kMostBlocks * 2 * kPanel];  // per block, or per half of a block
  alignas(64) float mins[kPair][kMostBlocks * 2 * kPanel];
};

template <CodeKind kCode, bool kSigned, int kGroup>
SUMI_INLINE void expand_groups(const PanelPointers& p, Register zero_point, std::byte* out) {
  if constexpr (kGroup < 8) {
    Register codes = load_group<kCode, kGroup>(p, 0);
    if constexpr (kSigned) codes = sub8(codes, zero_point);
    store_bytes(out + kGroup * 4 * kPanel, codes);
    expand_groups<kCode, kSigned, kGroup + 1>(p, zero_point, out);
  }
}

// kSigned: codes less their zero point. Otherwise 8-bit codes are left where they are.
template <CodeKind kCode, ScaleKind kScale, bool kSigned>
void expand(const PackedMatrix& w, int64_t panel, int64_t begin, int64_t end, Pair& pair, int which) {
  constexpr int kParts = halves(kScale) ? 2 : 1;
  PanelPointers p = panel_at<kCode, kScale>(w, panel, begin);
  std::byte* codes = pair.codes[which];
  float *scales = pair.scales[which], *mins = pair.mins[which];
  const Register zero_point = splat8(static_cast<char>(w.zero_point));
  for (int64_t block = begin; block < end; ++block) {
    if constexpr (kSigned || kCode != CodeKind::u8) expand_groups<kCode, kSigned, 0>(p, zero_point, codes);
    codes += 32 * kPanel;
    for (int part = 0; part < kParts; ++part) {
      Vec scale, min;
      load_scales<kCode, kScale>(p, part, 0, scale, min);
      scale.store(scales);
      scales += kPanel;
      if constexpr (has_min(kScale)) min.store(mins);
      mins += kPanel;
    }
    advance<kCode, kScale>(p, block);
  }
}

// The groups of a block under one scale, for kRows rows.
template <int kRows, int kParts, int kPart, bool kOffset, bool kMin>
SUMI_INLINE void add_part(const std::byte* const (&codes)[kPair], const Pair& pair, const MatmulArgs& args, int64_t row,
                          int64_t block, int64_t local, Vec (&total)[kRows][kPair]) {
  constexpr int kSums = kParts == 1 ? 2 : kPart;
  const int64_t k = args.weight.k, blocks = k / kBlock;
  Register sum[kRows][kPair];
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r) {
    Register offset = zero_register();
    if constexpr (kOffset) offset = splat32(args.offsets[((row + r) * blocks + block) * 3 + kSums]);
    SUMI_UNROLL
    for (int i = 0; i < kPair; ++i) sum[r][i] = offset;
  }
  const int8_t* x = args.q.codes + row * k + block * kBlock;
  SUMI_UNROLL
  for (int g = kPart * 4; g < (kParts == 1 ? 8 : kPart * 4 + 4); ++g) {
    Register w[kPair];
    SUMI_UNROLL
    for (int i = 0; i < kPair; ++i) w[i] = load_bytes(codes[i] + g * 4 * kPanel);
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Register a = splat_group(x + r * k + 4 * g);
      SUMI_UNROLL
      for (int i = 0; i < kPair; ++i) sum[r][i] = dot_u8_s8(sum[r][i], w[i], a);
    }
  }
  Vec scale[kPair], min[kPair];
  SUMI_UNROLL
  for (int i = 0; i < kPair; ++i) {
    scale[i] = Vec::load(pair.scales[i] + (local * kParts + kPart) * kPanel);
    if constexpr (kMin) min[i] = Vec::load(pair.mins[i] + (local * kParts + kPart) * kPanel);
  }
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const int64_t at = (row + r) * blocks + block;
    const Vec activation_scale = Vec::set1(args.q.scales[at]);
    Vec scaled_sum = Vec::zero();
    if constexpr (kMin) scaled_sum = Vec::set1(args.q.scaled_sums[at * 3 + kSums]);
    SUMI_UNROLL
    for (int i = 0; i < kPair; ++i) {
      total[r][i] = fma(to_float(sum[r][i]), scale[i] * activation_scale, total[r][i]);
      if constexpr (kMin) total[r][i] = fma(min[i], scaled_sum, total[r][i]);
    }
  }
}

// The codes of a pair's panels, and the bytes from one block to the next.
struct PairCodes {
  const std::byte* at[kPair];
  int64_t step;
};

// Blocks [begin, end) of K for kRows rows; what earlier blocks gave is in y.
template <int kRows, int kParts, bool kOffset, bool kMin>
void tile(const Pair& pair, const PairCodes& first, const MatmulArgs& args, int64_t panel, int64_t row, int64_t begin,
          int64_t end) {
  Vec total[kRows][kPair];
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r)
    SUMI_UNROLL
    for (int i = 0; i < kPair; ++i) {
      total[r][i] = Vec::zero();
      if (begin > 0) load_panel_row(args, panel + i, row + r, &total[r][i]);
    }
  const std::byte* codes[kPair] = {first.at[0], first.at[1]};
  for (int64_t block = begin; block < end; ++block) {
    add_part<kRows, kParts, 0, kOffset, kMin>(codes, pair, args, row, block, block - begin, total);
    if constexpr (kParts == 2)
      add_part<kRows, kParts, 1, kOffset, kMin>(codes, pair, args, row, block, block - begin, total);
    SUMI_UNROLL
    for (int i = 0; i < kPair; ++i) codes[i] += first.step;
  }
  const float* bias = end == args.weight.k / kBlock ? args.bias : nullptr;
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r)
    SUMI_UNROLL
    for (int i = 0; i < kPair; ++i) store_panel_row(args, bias, panel + i, row + r, &total[r][i]);
}

template <int kParts, bool kOffset, bool kMin>
void rows(const Pair& pair, const PairCodes& first, const MatmulArgs& args, int64_t panel, int64_t begin, int64_t end) {
  int64_t row = 0;
  // Two rows alone are slow: eight are left for two tiles of four.
  for (; row + 6 <= args.m && args.m - row != 8; row += 6)
    tile<6, kParts, kOffset, kMin>(pair, first, args, panel, row, begin, end);
  for (; row + 4 <= args.m; row += 4) tile<4, kParts, kOffset, kMin>(pair, first, args, panel, row, begin, end);
  for (; row + 2 <= args.m; row += 2) tile<2, kParts, kOffset, kMin>(pair, first, args, panel, row, begin, end);
  if (row < args.m) tile<1, kParts, kOffset, kMin>(pair, first, args, panel, row, begin, end);
}

}  // namespace expanded

// Does the panels from `begin` on in pairs, if there are rows enough. Returns the first that is left.
template <CodeKind kCode, ScaleKind kScale>
__attribute__((noinline)) int64_t expanded_panels(const MatmulArgs& args, int64_t begin, int64_t end) {
  using namespace expanded;
  if (args.m < kLeastRows) return begin;
  static_assert(kLeastRows <= kTileRows);
  static_assert(kVectors == 1);
  constexpr int64_t kSuperBlocks = kSuperBlock / kBlock;
  const int64_t blocks = args.weight.k / kBlock;
  const int64_t parts = (blocks + kMostBlocks - 1) / kMostBlocks;
  const int64_t step = ((blocks + parts - 1) / parts + kSuperBlocks - 1) / kSuperBlocks * kSuperBlocks;
  Pair pair;
#if defined(SUMI_AMX)
  if (args.q.tile_scales) {
    constexpr int kParts = halves(kScale) ? 2 : 1;
    const CodeTileShapes<kParts> shapes;
    for (; begin < end; ++begin)
      for (int64_t from = 0; from < blocks; from += step) {
        const int64_t to = from + step < blocks ? from + step : blocks;
        expand<kCode, kScale, true>(args.weight, begin, from, to, pair, 0);
        const SignedPanel panel{pair.codes[0], pair.scales[0], pair.mins[0], from, to};
        for (int64_t tile = 0; tile * kTileRows < args.m; ++tile)
          code_tile<kParts, has_min(kScale)>(panel, args, begin, tile);
      }
    return begin;
  }
#endif
  for (; begin + kPair <= end; begin += kPair)
    for (int64_t from = 0; from < blocks; from += step) {
      const int64_t to = from + step < blocks ? from + step : blocks;
      constexpr bool kInPlace = kCode == CodeKind::u8;
      PairCodes codes{{pair.codes[0], pair.codes[1]}, kInPlace ? block_bytes(kCode, kScale) : 32 * kPanel};
      for (int i = 0; i < kPair; ++i) {
        expand<kCode, kScale, false>(args.weight, begin + i, from, to, pair, i);
        if constexpr (kInPlace) codes.at[i] = panel_at<kCode, kScale>(args.weight, begin + i, from).block;
      }
      rows<halves(kScale) ? 2 : 1, (kScale == ScaleKind::half || kScale == ScaleKind::k16), has_min(kScale)>(
          pair, codes, args, begin, from, to);
    }
  return begin;
}

}  // namespace sumi::kernels::SUMI_ISA

#endif

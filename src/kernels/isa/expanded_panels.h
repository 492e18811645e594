// Products of many rows of activations with codes of fewer than 8 bits, or with scales in two levels: each pair of
// panels is expanded once to bytes and float scales, in the caches, and then multiplied with all rows, group by group. The
// operations on a block, and their order, are those of matmul_codes.cc, so results are the same bits.
#pragma once

#include <type_traits>

#include "kernels/isa/code_panels.h"
#include "kernels/isa/code_tiles.h"

#if defined(SUMI_VNNI)

namespace sumi::kernels::SUMI_ISA {

namespace expanded {

inline constexpr int kPair = 2;           // panels that share the loads of activations
inline constexpr int64_t kMostBlocks = 192;  // of K that are expanded at a time: 288 KB of stack

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

// The groups of a block under one scale, for kRows rows of the group of rows that begins at `row`.
template <int kPanels, int kRows, int kParts, int kPart, bool kOffset, bool kMin>
SUMI_INLINE void add_part(const std::byte* const (&codes)[kPanels], const Pair& pair, const MatmulArgs& args, int64_t row,
                          int64_t block, int64_t local, Vec (&total)[kRows][kPanels]) {
  constexpr int kSums = kParts == 1 ? 2 : kPart;
  const int64_t place = row / kGroupRows * (args.weight.k / kBlock) + block;
  Register sum[kRows][kPanels];
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r) {
    Register first = splat32(kFirstSum);
    if constexpr (kOffset) first = splat32(args.offsets[(place * 3 + kSums) * kGroupRows + r]);
    SUMI_UNROLL
    for (int i = 0; i < kPanels; ++i) sum[r][i] = first;
  }
  const int8_t* x = args.q.codes + place * kGroupRows * kBlock;
  SUMI_UNROLL
  for (int g = kPart * 4; g < (kParts == 1 ? 8 : kPart * 4 + 4); ++g) {
    Register w[kPanels];
    SUMI_UNROLL
    for (int i = 0; i < kPanels; ++i) w[i] = load_bytes(codes[i] + g * 4 * kPanel);
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Register a = splat_group(x + r * kBlock + 4 * g);
      SUMI_UNROLL
      for (int i = 0; i < kPanels; ++i) sum[r][i] = dot_u8_s8(sum[r][i], w[i], a);
    }
  }
  Vec scale[kPanels], min[kPanels];
  SUMI_UNROLL
  for (int i = 0; i < kPanels; ++i) {
    scale[i] = Vec::load(pair.scales[i] + (local * kParts + kPart) * kPanel);
    if constexpr (kMin) min[i] = Vec::load(pair.mins[i] + (local * kParts + kPart) * kPanel);
  }
  const float* factors = args.q.group_factors + place * kGroupFactors * kGroupRows;
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const Vec activation_scale = Vec::set1(factors[r]), shift = Vec::set1(factors[kGroupRows + r]);
    Vec scaled_sum = Vec::zero();
    if constexpr (kMin) scaled_sum = Vec::set1(factors[(2 + kSums) * kGroupRows + r]);
    SUMI_UNROLL
    for (int i = 0; i < kPanels; ++i) {
      total[r][i] = fma(scaled(sum[r][i], activation_scale, shift), scale[i], total[r][i]);
      if constexpr (kMin) total[r][i] = fma(min[i], scaled_sum, total[r][i]);
    }
  }
}

// Blocks [begin, end) of K for kRows rows of a group; what earlier blocks gave is in y. codes: of the panels, `step` bytes
// from one block to the next.
template <int kPanels, int kRows, int kParts, bool kOffset, bool kMin>
void tile(const Pair& pair, const std::byte* const (&first)[kPair], int64_t step, const MatmulArgs& args, int64_t panel,
          int64_t row, int64_t begin, int64_t end) {
  Vec total[kRows][kPanels];
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r)
    SUMI_UNROLL
    for (int i = 0; i < kPanels; ++i) {
      total[r][i] = Vec::zero();
      if (begin > 0) load_panel_row(args, panel + i, row + r, &total[r][i]);
    }
  const std::byte* codes[kPanels];
  SUMI_UNROLL
  for (int i = 0; i < kPanels; ++i) codes[i] = first[i];
  for (int64_t block = begin; block < end; ++block) {
    add_part<kPanels, kRows, kParts, 0, kOffset, kMin>(codes, pair, args, row, block, block - begin, total);
    if constexpr (kParts == 2)
      add_part<kPanels, kRows, kParts, 1, kOffset, kMin>(codes, pair, args, row, block, block - begin, total);
    SUMI_UNROLL
    for (int i = 0; i < kPanels; ++i) codes[i] += step;
  }
  const float* bias = end == args.weight.k / kBlock ? args.bias : nullptr;
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r)
    SUMI_UNROLL
    for (int i = 0; i < kPanels; ++i) store_panel_row(args, bias, panel + i, row + r, &total[r][i]);
}

// One panel or two from `panel` on, all rows.
template <CodeKind kCode, ScaleKind kScale, int kPanels>
void panels(const MatmulArgs& args, int64_t panel, int64_t step, Pair& pair) {
  constexpr bool kInPlace = kCode == CodeKind::u8, kMin = has_min(kScale);
  constexpr bool kOffset = kScale == ScaleKind::half || kScale == ScaleKind::k16;
  constexpr int kParts = halves(kScale) ? 2 : 1;
  const int64_t blocks = args.weight.k / kBlock;
  for (int64_t from = 0; from < blocks; from += step) {
    const int64_t to = from + step < blocks ? from + step : blocks;
    const std::byte* codes[kPair] = {pair.codes[0], pair.codes[1]};
    for (int i = 0; i < kPanels; ++i) {
      expand<kCode, kScale, false>(args.weight, panel + i, from, to, pair, i);
      if constexpr (kInPlace) codes[i] = panel_at<kCode, kScale>(args.weight, panel + i, from).block;
    }
    constexpr int64_t kStep = kInPlace ? block_bytes(kCode, kScale) : 32 * kPanel;
    const auto rows = [&](auto count, int64_t row) {
      tile<kPanels, count.value, kParts, kOffset, kMin>(pair, codes, kStep, args, panel, row, from, to);
    };
    int64_t row = 0;
    for (; row + kGroupRows <= args.m; row += kGroupRows) rows(std::integral_constant<int, kGroupRows>(), row);
    switch (args.m - row) {
      case 1: rows(std::integral_constant<int, 1>(), row); break;
      case 2: rows(std::integral_constant<int, 2>(), row); break;
      case 3: rows(std::integral_constant<int, 3>(), row); break;
      case 4: rows(std::integral_constant<int, 4>(), row); break;
      case 5: rows(std::integral_constant<int, 5>(), row); break;
    }
  }
}

}  // namespace expanded

// Does the panels from `begin` on, if rows are in groups or tiles. Returns the first that is left.
template <CodeKind kCode, ScaleKind kScale>
__attribute__((noinline)) int64_t expanded_panels(const MatmulArgs& args, int64_t begin, int64_t end) {
  using namespace expanded;
  if (!args.q.group_factors && !args.q.tile_scales) return begin;
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
  for (; begin + kPair <= end; begin += kPair) expanded::panels<kCode, kScale, kPair>(args, begin, step, pair);
  if (begin < end) expanded::panels<kCode, kScale, 1>(args, begin++, step, pair);
  return begin;
}

}  // namespace sumi::kernels::SUMI_ISA

#endif

// Products of tiles of 16 rows of activations with an expanded panel (kernels/isa/expanded_panels.h) in AMX tiles: one tile
// product forms the exact sums of a block, vectors scale and add them as everywhere else. The codes come here without
// their zero point, as signed bytes; sums are exact in both forms, so results are the same bits.
#pragma once

#include <type_traits>

#include "kernels/isa/code_panels.h"
#include "kernels/isa/tiles.h"

#if defined(SUMI_AMX)

namespace sumi::kernels::SUMI_ISA {

// A panel's blocks [begin, end) of K. Per block of codes 8 rows of [kPanel][4] bytes; scales and mins [parts][kPanel].
struct SignedPanel {
  const std::byte* codes;
  const float *scales, *mins;
  int64_t begin, end;
};

// Tiles 0 to 3: sums; 4 and 5: activations; 6 and 7: codes. kParts: 1, or 2 where half a block has a scale.
template <int kParts>
class CodeTileShapes : public TileShapes {
  static constexpr int kQuads = 8 / kParts;

 public:
  CodeTileShapes()
      : TileShapes({{kTileRows, 64}, {kTileRows, 64}, {kTileRows, 64}, {kTileRows, 64},
                    {kTileRows, 4 * kQuads}, {kTileRows, 4 * kQuads}, {kQuads, 64}, {kQuads, 64}}) {}
};

inline constexpr int kSlots = 4, kAhead = 3;

template <int kSlot>
SUMI_INLINE void tile_sums(const int8_t* x, int64_t stride, const std::byte* codes, int32_t* sums) {
  tile_zero<kSlot>();
  tile_load<4 + kSlot % 2>(x, stride);
  tile_load<6 + kSlot % 2>(codes, 64);
  tile_dot_s8_s8<kSlot, 4 + kSlot % 2, 6 + kSlot % 2>();
  tile_store<kSlot>(sums, 64);
}

// Tile `tile` of 16 rows; those behind the last are not stored. What earlier blocks gave is in y.
template <int kParts, bool kMin>
void code_tile(const SignedPanel& p, const MatmulArgs& args, int64_t panel, int64_t tile) {
  const int64_t k = args.weight.k, blocks = k / kBlock, row = tile * kTileRows;
  const int64_t rows = args.m - row < kTileRows ? args.m - row : kTileRows;
  constexpr int kStep = kBlock / kParts;  // of K
  alignas(64) int32_t sums[kSlots][kTileRows * kPanel];
  Vec total[kTileRows];
  SUMI_UNROLL
  for (int r = 0; r < kTileRows; ++r) {
    total[r] = Vec::zero();
    if (p.begin > 0 && r < rows) load_panel_row(args, panel, row + r, &total[r]);
  }
  const float *scales = p.scales, *mins = p.mins;
  const float* x_scales = args.q.tile_scales + (tile * blocks + p.begin) * kTileRows;
  const float* x_sums = args.q.tile_scaled_sums + (tile * blocks + p.begin) * 3 * kTileRows;
  const int8_t* x = args.q.codes + row * k + p.begin * kBlock;
  const std::byte* codes = p.codes;
  const auto start = [&](auto slot) __attribute__((always_inline)) {
    tile_sums<slot.value>(x, k, codes, sums[slot.value]);
    x += kStep;
    codes += kStep * kPanel;
  };
  const auto finish = [&](auto slot) __attribute__((always_inline)) {
    const Vec scale = Vec::load(scales);
    Vec min;
    if constexpr (kMin) min = Vec::load(mins);
    const float* min_sums = x_sums + (kParts == 1 ? 2 : slot.value % 2) * kTileRows;
    SUMI_UNROLL
    for (int r = 0; r < kTileRows; ++r) {
      const Vec sum = to_float(load_bytes(sums[slot.value] + r * kPanel));
      total[r] = fma(sum * Vec::set1(x_scales[r]), scale, total[r]);
      if constexpr (kMin) total[r] = fma(min, Vec::set1(min_sums[r]), total[r]);
    }
    scales += kPanel;
    mins += kPanel;
    if (kParts == 1 || slot.value % 2 == 1) {
      x_scales += kTileRows;
      x_sums += 3 * kTileRows;
    }
  };
  // A step's sums are on their way while those of the kAhead steps before it are finished.
  const int64_t steps = (p.end - p.begin) * kParts;
  int64_t started = 0, finished = 0;
  const auto advance = [&](auto slot) __attribute__((always_inline)) {
    constexpr std::integral_constant<int, (slot.value + kAhead) % kSlots> kNext;
    if (started < steps) {
      start(kNext);
      ++started;
    }
    finish(slot);
    return ++finished < steps;
  };
  constexpr std::integral_constant<int, 0> k0;
  constexpr std::integral_constant<int, 1> k1;
  constexpr std::integral_constant<int, 2> k2;
  constexpr std::integral_constant<int, 3> k3;
  start(k0);
  if (steps > 1) start(k1);
  if (steps > 2) start(k2);
  started = steps < kAhead ? steps : kAhead;
  while (advance(k0) && advance(k1) && advance(k2) && advance(k3)) {}
  const float* bias = p.end == blocks ? args.bias : nullptr;
  SUMI_UNROLL
  for (int r = 0; r < kTileRows; ++r)
    if (r < rows) store_panel_row(args, bias, panel, row + r, &total[r]);
}

}  // namespace sumi::kernels::SUMI_ISA

#endif

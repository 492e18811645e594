// Products with bf16 weights in AMX tiles. A tile product takes 32 k of 16 rows and 16 outputs; an output's sum goes
// through K in such steps, in rising order, whatever the number of rows, so that one row alone gives the same bits as
// among many.
#pragma once

#include "kernels/isa/matmul_isa.h"
#include "kernels/isa/tiles.h"

#if defined(SUMI_AMX)

namespace sumi::kernels::SUMI_ISA {

namespace bf16_tiles {

inline constexpr int64_t kStepK = 32, kStepBytes = kStepK * kPanel * 2;  // of weights; of a tile of activations, too
inline constexpr int64_t kTileFloats = kTileRows * kPanel;

// kTiles tiles of rows times kPanels panels: tiles 0 to 3 are their sums, the rest activations and then weights.
template <int kTiles, int kPanels>
struct Block {
  static_assert(kTiles * kPanels <= 4 && kTiles <= 2);
  static constexpr int kFirstWeights = 4 + kTiles, kWeightTiles = 8 - kFirstWeights;

  // Adds steps [begin, end); x: the tiles' activations at `begin`, x_stride bytes apart; w: the panels' weights there.
  static void add(const std::byte* x, int64_t x_stride, const std::byte* w, int64_t w_stride, int64_t steps) {
    for (int64_t i = 0; i < steps; ++i, x += kStepBytes, w += kStepBytes) step(x, x_stride, w, w_stride);
  }
  static void step(const std::byte* x, int64_t x_stride, const std::byte* w, int64_t w_stride) {
    tile_load<4>(x, 64);
    if constexpr (kTiles == 2) tile_load<5>(x + x_stride, 64);
    panels<0>(w, w_stride);
  }
  template <int kAt = 0>
  static void zero() {
    if constexpr (kAt < kTiles * kPanels) {
      tile_zero<kAt>();
      zero<kAt + 1>();
    }
  }
  // Sums from and to memory: [kTiles][kPanels][kTileFloats], tiles `stride` floats apart.
  template <int kAt = 0>
  static void load(const float* sums, int64_t stride) {
    if constexpr (kAt < kTiles * kPanels) {
      tile_load<kAt>(sums + kAt / kPanels * stride + kAt % kPanels * kTileFloats, 64);
      load<kAt + 1>(sums, stride);
    }
  }
  template <int kAt = 0>
  static void store(float* sums, int64_t stride) {
    if constexpr (kAt < kTiles * kPanels) {
      tile_store<kAt>(sums + kAt / kPanels * stride + kAt % kPanels * kTileFloats, 64);
      store<kAt + 1>(sums, stride);
    }
  }

 private:
  template <int kAt>
  static void panels(const std::byte* w, int64_t stride) {
    if constexpr (kAt < kPanels) {
      constexpr int kWeights = kFirstWeights + kAt % kWeightTiles;
      tile_load<kWeights>(w + kAt * stride, 64);
      tile_dot_bf16<kAt, 4, kWeights>();
      if constexpr (kTiles == 2) tile_dot_bf16<kPanels + kAt, 5, kWeights>();
      panels<kAt + 1>(w, stride);
    }
  }
};

// The last step of up to four panels where K ends inside it: zeros behind.
struct Tail {
  alignas(64) std::byte panels[4][kStepBytes] = {};
  Tail(const PackedMatrix& w, int64_t panel, int count, int64_t steps) {
    const size_t bytes = static_cast<size_t>((w.k + 1) / 2 * 4 * kPanel - steps * kStepBytes);
    for (int p = 0; p < count; ++p)
      std::memcpy(panels[p], w.data + static_cast<size_t>(panel + p) * w.panel_bytes + steps * kStepBytes, bytes);
  }
};

// Rows [row, row + rows) of a panel, from a tile's sums.
inline void store_rows(const MatmulArgs& args, int64_t panel, int64_t row, int64_t rows, const float* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    const Vec total = Vec::load(sums + r * kPanel);
    store_panel_row(args, args.bias, panel, row + r, &total);
  }
}

// One tile of rows: four panels at a time hide how long a product takes.
template <int kPanels>
void few_rows(const MatmulArgs& args, int64_t panel) {
  using B = Block<1, kPanels>;
  const PackedMatrix& w = args.weight;
  const int64_t steps = w.k / kStepK, stride = static_cast<int64_t>(w.panel_bytes);
  const std::byte* x = reinterpret_cast<const std::byte*>(args.x_tiles);
  const std::byte* weights = w.data + panel * stride;
  ReadAhead<kPanels> ahead(args, panel);
  B::zero();
  for (int64_t i = 0; i < steps; ++i) {
    if (args.m <= 4) ahead.step(kStepBytes);
    B::step(x + i * kStepBytes, 0, weights + i * kStepBytes, stride);
  }
  if (w.k % kStepK > 0) B::step(x + steps * kStepBytes, 0, Tail(w, panel, kPanels, steps).panels[0], kStepBytes);
  alignas(64) float sums[kPanels][kTileFloats];
  B::store(sums[0], 0);
  for (int p = 0; p < kPanels; ++p) store_rows(args, panel + p, 0, args.m, sums[p]);
}

// Many rows, up to kBand at a time: stretches of the weights' K stay in the first cache.
inline constexpr int64_t kBandTiles = 16, kStretch = 8;  // steps

template <int kPanels>
void many_rows(const MatmulArgs& args, int64_t panel) {
  const PackedMatrix& w = args.weight;
  const int64_t steps = w.k / kStepK, stride = static_cast<int64_t>(w.panel_bytes);
  const int64_t x_stride = (w.k + kStepK - 1) / kStepK * kStepBytes, tiles = (args.m + kTileRows - 1) / kTileRows;
  const std::byte* weights = w.data + panel * stride;
  constexpr int64_t kSums = kPanels * kTileFloats;
  alignas(64) float sums[kBandTiles * kSums];
  const auto add = [&](auto block, const std::byte* x, const std::byte* from, int64_t from_stride, int64_t count,
                       float* to, bool first) {
    using B = decltype(block);
    if (first) B::zero();
    else B::load(to, kSums);
    B::add(x, x_stride, from, from_stride, count);
    B::store(to, kSums);
  };
  for (int64_t band = 0; band < tiles; band += kBandTiles) {
    const int64_t count = tiles - band < kBandTiles ? tiles - band : kBandTiles;
    const std::byte* x = reinterpret_cast<const std::byte*>(args.x_tiles) + band * x_stride;
    const auto stretch = [&](int64_t begin, const std::byte* from, int64_t from_stride, int64_t length) {
      const std::byte* at = x + begin * kStepBytes;
      int64_t t = 0;
      for (; t + 2 <= count; t += 2)
        add(Block<2, kPanels>(), at + t * x_stride, from, from_stride, length, sums + t * kSums, begin == 0);
      if (t < count) add(Block<1, kPanels>(), at + t * x_stride, from, from_stride, length, sums + t * kSums, begin == 0);
    };
    for (int64_t begin = 0; begin < steps; begin += kStretch)
      stretch(begin, weights + begin * kStepBytes, stride, steps - begin < kStretch ? steps - begin : kStretch);
    if (w.k % kStepK > 0) stretch(steps, Tail(w, panel, kPanels, steps).panels[0], kStepBytes, 1);
    for (int64_t t = 0; t < count; ++t)
      for (int p = 0; p < kPanels; ++p) {
        const int64_t row = (band + t) * kTileRows, rows = args.m - row < kTileRows ? args.m - row : kTileRows;
        store_rows(args, panel + p, row, rows, sums + t * kSums + p * kTileFloats);
      }
  }
}

}  // namespace bf16_tiles

inline void bf16_panels_in_tiles(const MatmulArgs& args, int64_t begin, int64_t end) {
  using namespace bf16_tiles;
  using Shape = TileShapes::Shape;
  if (args.m == 0) return;
  const bool few = args.m <= kTileRows;
  const Shape rows{static_cast<int>(few ? args.m : kTileRows), 64}, weights{kTileRows, 64};
  const TileShapes shapes({rows, rows, rows, rows, rows, few ? weights : rows, weights, weights});
  if (few) {
    for (; begin + 4 <= end; begin += 4) few_rows<4>(args, begin);
    for (; begin < end; ++begin) few_rows<1>(args, begin);
  } else {
    for (; begin + 2 <= end; begin += 2) many_rows<2>(args, begin);
    for (; begin < end; ++begin) many_rows<1>(args, begin);
  }
}

}  // namespace sumi::kernels::SUMI_ISA

#endif

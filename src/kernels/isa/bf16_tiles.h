// Products with bf16 weights in AMX tiles. A tile product takes 32 k of 16 rows and 16 outputs; an output's sum goes
// through K in such steps, in rising order, whatever the number of rows, so that one row alone gives the same bits as
// among many.
#pragma once

#include <algorithm>

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

  // x: the tiles' activations of this step, x_stride bytes apart; w: the panels' weights, w_stride bytes apart.
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
      std::memcpy(panels[p], w.panel_at(panel + p) + steps * kStepBytes, bytes);
  }
};

// Rows [row, row + rows) of a panel, from a tile's sums.
inline void store_rows(const MatmulArgs& args, const float* bias, int64_t panel, int64_t row, int64_t rows,
                       const float* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    const Vec total = Vec::load(sums + r * kPanel);
    store_panel_row(args, bias, panel, row + r, &total);
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
  for (int p = 0; p < kPanels; ++p) store_rows(args, args.bias, panel + p, 0, args.m, sums[p]);
}

// Many rows: each two tiles of them meet a group of panels, whose stretch of K stays in the second cache meanwhile.
// Between stretches sums wait in y.
inline constexpr int64_t kGroup = 16, kStretch = 64;  // panels; steps at most

// Asks for y's cache lines, a few rows a step, so that they are there when the sums are stored.
class OutputAhead {
 public:
  OutputAhead(const MatmulArgs& args, int64_t panel, int64_t row, int64_t rows, int64_t steps)
      : at_(args.y + row * args.ldy + panel * kPanel),
        stride_(args.ldy),
        left_(rows),
        rows_(steps > 0 ? (rows + steps - 1) / steps : 0) {}
  template <int kPanels>
  void step() {
    for (int64_t r = 0; r < rows_ && left_ > 0; ++r, --left_, at_ += stride_)
      for (int p = 0; p < kPanels; ++p) prefetch_to_write(at_ + p * kPanel);
  }

 private:
  const float* at_;
  int64_t stride_, left_, rows_;
};

// Steps [begin, end) of K for kTiles tiles of rows from `row` on and kPanels panels.
template <int kTiles, int kPanels>
void add_stretch(const MatmulArgs& args, int64_t panel, int64_t row, int64_t begin, int64_t end) {
  using B = Block<kTiles, kPanels>;
  const PackedMatrix& w = args.weight;
  const int64_t steps = w.k / kStepK, stride = static_cast<int64_t>(w.panel_bytes);
  const int64_t x_stride = (w.k + kStepK - 1) / kStepK * kStepBytes;
  const std::byte* x = reinterpret_cast<const std::byte*>(args.x_tiles) + row / kTileRows * x_stride;
  const std::byte* weights = w.data + panel * stride;
  const auto rows_of = [&](int tile) { return std::min(kTileRows, args.m - row - tile * kTileRows); };
  alignas(64) float sums[kTiles * kPanels][kTileFloats];
  if (begin == 0) {
    B::zero();
  } else {
    for (int i = 0; i < kTiles * kPanels; ++i)
      for (int64_t r = 0; r < rows_of(i / kPanels); ++r) {
        Vec total;
        load_panel_row(args, panel + i % kPanels, row + i / kPanels * kTileRows + r, &total);
        total.store(sums[i] + r * kPanel);
      }
    B::load(sums[0], kPanels * kTileFloats);
  }
  OutputAhead ahead(args, panel, row, begin == 0 ? std::min(kTiles * kTileRows, args.m - row) : 0, end - begin);
  for (int64_t i = begin; i < end; ++i) {
    ahead.template step<kPanels>();
    B::step(x + i * kStepBytes, x_stride, weights + i * kStepBytes, stride);
  }
  const bool last = end == steps;
  if (last && w.k % kStepK > 0)
    B::step(x + steps * kStepBytes, x_stride, Tail(w, panel, kPanels, steps).panels[0], kStepBytes);
  B::store(sums[0], kPanels * kTileFloats);
  for (int i = 0; i < kTiles * kPanels; ++i)
    store_rows(args, last ? args.bias : nullptr, panel + i % kPanels, row + i / kPanels * kTileRows,
               rows_of(i / kPanels), sums[i]);
}

// Panels [begin, end), at most kGroup.
inline void many_rows(const MatmulArgs& args, int64_t first_panel, int64_t end_panel) {
  const int64_t steps = args.weight.k / kStepK, stretches = (steps + kStretch - 1) / kStretch;
  int64_t begin = 0;
  do {
    const int64_t end = stretches > 1 ? std::min(begin + (steps + stretches - 1) / stretches, steps) : steps;
    for (int64_t row = 0; row < args.m; row += 2 * kTileRows) {
      const bool two = row + kTileRows < args.m;
      int64_t panel = first_panel;
      for (; panel + 2 <= end_panel; panel += 2)
        (two ? add_stretch<2, 2> : add_stretch<1, 2>)(args, panel, row, begin, end);
      if (panel < end_panel) (two ? add_stretch<2, 1> : add_stretch<1, 1>)(args, panel, row, begin, end);
    }
    begin = end;
  } while (begin < steps);
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
    for (; begin < end; begin += kGroup) many_rows(args, begin, std::min(begin + kGroup, end));
  }
}

}  // namespace sumi::kernels::SUMI_ISA

#endif

// Products with bf16 weights in AMX tiles. A tile product takes 32 k of 16 rows; an output's sum goes through K in
// such steps, in rising order, whatever the number of rows, so that one row alone gives the same bits as among many.
#pragma once

#include "kernels/isa/matmul_isa.h"
#include "kernels/isa/tiles.h"

#if defined(SUMI_AMX)

namespace sumi::kernels::SUMI_ISA {

namespace bf16_tiles {

inline constexpr int64_t kStepPairs = 16;  // of K: a row of 64 bytes of activations, 16 rows of weights
inline constexpr int64_t kStepBytes = kStepPairs * 4 * kPanel;

// The last step, where K ends inside it, with zeros behind: of up to 2 x 16 rows and of up to 4 panels.
struct Tail {
  alignas(64) uint16_t rows[2][kTileRows][2 * kStepPairs];
  alignas(64) std::byte panels[4][kStepBytes];
};

template <int kRowTiles, int kPanels>
class Block {
  static_assert(kRowTiles * kPanels <= 4 && (kRowTiles == 1 || kPanels <= 2));
  // Tiles 0 to 3: sums; from 4 on the activations, then the weights.
  static constexpr int kFirstWeights = 4 + kRowTiles;
  static constexpr int kWeightTiles = 8 - kFirstWeights;

 public:
  // Panels from `panel` on; row tiles at `row` and `row + second`, of `tile_rows` rows.
  Block(const MatmulArgs& args, int64_t panel, int64_t row, int64_t second, int64_t tile_rows)
      : args_(args), panel_(panel), row_{row, row + second}, tile_rows_(tile_rows) {}

  void run() const {
    const PackedMatrix& weight = args_.weight;
    const int64_t pairs = (weight.k + 1) / 2, steps = pairs / kStepPairs, left = pairs % kStepPairs;
    const std::byte* w = weight.data + static_cast<size_t>(panel_) * weight.panel_bytes;
    const uint16_t* x[2] = {args_.x_bf16 + row_[0] * 2 * pairs, args_.x_bf16 + row_[1] * 2 * pairs};
    zero<0>();
    ReadAhead<kPanels> ahead(args_, panel_);
    for (int64_t step = 0; step < steps; ++step, w += kStepBytes) {
      if (args_.m <= 4) ahead.step(kStepBytes);
      load_rows(x[0] + step * 2 * kStepPairs, x[1] + step * 2 * kStepPairs, 4 * pairs);
      add_panels<0>(w, static_cast<int64_t>(weight.panel_bytes));
    }
    if (left > 0) add_tail(w, x, pairs, steps, left);
    store<0>();
  }

 private:
  template <int kAt>
  static void zero() {
    if constexpr (kAt < kRowTiles * kPanels) {
      tile_zero<kAt>();
      zero<kAt + 1>();
    }
  }
  static void load_rows(const uint16_t* x0, const uint16_t* x1, int64_t stride) {
    tile_load<4>(x0, stride);
    if constexpr (kRowTiles == 2) tile_load<5>(x1, stride);
  }
  template <int kAt>
  static void add_panels(const std::byte* w, int64_t stride) {
    if constexpr (kAt < kPanels) {
      constexpr int kWeights = kFirstWeights + kAt % kWeightTiles;
      tile_load<kWeights>(w + kAt * stride, 64);
      tile_dot_bf16<kAt, 4, kWeights>();
      if constexpr (kRowTiles == 2) tile_dot_bf16<kPanels + kAt, 5, kWeights>();
      add_panels<kAt + 1>(w, stride);
    }
  }
  void add_tail(const std::byte* w, const uint16_t* const (&x)[2], int64_t pairs, int64_t steps, int64_t left) const {
    Tail tail = {};
    for (int t = 0; t < kRowTiles; ++t)
      for (int64_t r = 0; r < tile_rows_; ++r)
        std::memcpy(tail.rows[t][r], x[t] + 2 * (r * pairs + steps * kStepPairs), static_cast<size_t>(4 * left));
    for (int p = 0; p < kPanels; ++p)
      std::memcpy(tail.panels[p], w + static_cast<size_t>(p) * args_.weight.panel_bytes,
                  static_cast<size_t>(left * 4 * kPanel));
    load_rows(tail.rows[0][0], tail.rows[1][0], 4 * kStepPairs);
    add_panels<0>(tail.panels[0], kStepBytes);
  }
  template <int kAt>
  void store() const {
    if constexpr (kAt < kRowTiles * kPanels) {
      alignas(64) float sums[kTileRows][kPanel];
      tile_store<kAt>(sums, 64);
      const int64_t row = row_[kAt / kPanels];
      for (int64_t r = 0; r < tile_rows_; ++r) {
        const Vec total = Vec::load(sums[r]);
        store_panel_row(args_, args_.bias, panel_ + kAt % kPanels, row + r, &total);
      }
      store<kAt + 1>();
    }
  }

  const MatmulArgs& args_;
  int64_t panel_, row_[2], tile_rows_;
};

// One tile of rows: four panels at a time hide how long a product takes.
inline void few_rows(const MatmulArgs& args, int64_t panel, int64_t end) {
  for (; panel + 4 <= end; panel += 4) Block<1, 4>(args, panel, 0, 0, args.m).run();
  for (; panel < end; ++panel) Block<1, 1>(args, panel, 0, 0, args.m).run();
}

// 16 rows or more; the last tiles may overlap the ones before them.
inline void many_rows(const MatmulArgs& args, int64_t panel, int64_t end) {
  const int64_t last = args.m - kTileRows;
  for (; panel < end; panel += 2)
    for (int64_t first = 0; first < args.m; first += 2 * kTileRows) {
      const int64_t row = first < last ? first : last;
      const int64_t second = (row + kTileRows < last ? row + kTileRows : last) - row;
      if (panel + 2 <= end && second > 0) Block<2, 2>(args, panel, row, second, kTileRows).run();
      else if (panel + 2 <= end) Block<1, 2>(args, panel, row, 0, kTileRows).run();
      else if (second > 0) Block<2, 1>(args, panel, row, second, kTileRows).run();
      else Block<1, 1>(args, panel, row, 0, kTileRows).run();
    }
}

}  // namespace bf16_tiles

inline void matmul_bf16_tiles(const MatmulArgs& args, int64_t begin, int64_t end) {
  using Shape = TileShapes::Shape;
  const bool few = args.m < kTileRows;
  const int rows = few ? static_cast<int>(args.m) : kTileRows;
  if (rows == 0) return;
  const Shape sums{rows, 64}, weights{kTileRows, 64};
  const TileShapes shapes({sums, sums, sums, sums, sums, few ? weights : sums, weights, weights});
  (few ? bf16_tiles::few_rows : bf16_tiles::many_rows)(args, begin, end);
}

}  // namespace sumi::kernels::SUMI_ISA

#endif

#include "kernels/picture_winograd.h"

#include <algorithm>
#include <cstring>

#include "base/memory.h"
#include "base/threads.h"

namespace sumi::kernels {

namespace {

using Kernels = PictureWinogradKernels;

// Tiles are transformed in pieces of about this many bytes, which stay in the last-level cache.
constexpr int64_t kTransformedBytes = int64_t{12} << 20;
// Inputs of a band of rows of tiles, in the second cache.
constexpr int64_t kBandBytes = int64_t{256} << 10;

int64_t blocks_of(int64_t count, int64_t block) { return (count + block - 1) / block; }

std::byte* thread_memory(int64_t bytes) {
  thread_local base::Scratch scratch;
  return scratch.at_least(static_cast<size_t>(bytes));
}

struct Picture {
  TileInput x;
  TileAffine affine;
  int64_t height, width, channels;
  bool doubled;

  int64_t across() const { return blocks_of(width, Kernels::kAcross); }
  int64_t down() const { return blocks_of(height, Kernels::kDown); }
  int64_t row_lines() const { return Kernels::kAcross * across() + 2; }  // with the border
};

// Lines of channels [32 chunk, 32 chunk + 32) of rows [first, first + rows) of a picture, zeros outside it.
void copy_rows(const Picture& p, int64_t picture, int64_t first, int64_t rows, int64_t chunk, std::byte* to,
               const PictureTileKernels& kernels) {
  const int64_t shrink = p.doubled ? 2 : 1, from_width = p.width / shrink, lines = p.row_lines();
  for (int64_t i = 0; i < rows; ++i, to += lines * kLineBytes) {
    const int64_t y = first + i;
    if (y < 0 || y >= p.height) {
      std::memset(to, 0, static_cast<size_t>(lines * kLineBytes));
      continue;
    }
    std::memset(to, 0, kLineBytes);
    std::memset(to + (p.width + 1) * kLineBytes, 0, static_cast<size_t>((lines - p.width - 1) * kLineBytes));
    const int64_t from_row = picture * (p.height / shrink) + y / shrink;
    PictureTileKernels::Lines row{.x = offset(p.x, from_row * from_width * p.channels + chunk * 32),
                                  .pixels = from_width,
                                  .step = p.channels,
                                  .repeat = shrink,
                                  .channels = 32,
                                  .affine = p.affine,
                                  .to = to + kLineBytes};
    if (p.affine.scale) {
      row.affine.scale += picture * p.channels + chunk * 32;
      row.affine.shift += picture * p.channels + chunk * 32;
    }
    kernels.lines(row);
  }
}

// Memory of a piece of the batch's tiles.
struct Transformed {
  std::byte* lines;  // [blocks of tiles][kFrequencies][chunks][kTiles] lines
  float* scales;     // int8: [blocks of tiles][kFrequencies][kTiles]
};

// body(count, lines of the first, its block, its place there) for the tiles of `rows` rows of tiles, the first of them
// number `first` of the piece, whose lines begin at `copied`; tiles that are in one block of one row together.
template <class Body>
void for_tiles(const Picture& p, int64_t first, int64_t rows, std::byte* copied, const Body& body) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t t = 0; t < p.across();) {
      const int64_t tile = first + i * p.across() + t, place = tile % Kernels::kTiles;
      const int64_t count = std::min(Kernels::kTiles - place, p.across() - t);
      const int64_t line = Kernels::kDown * i * p.row_lines() + Kernels::kAcross * t;
      body(count, copied + line * kLineBytes, tile / Kernels::kTiles, place);
      t += count;
    }
}

// body(picture, first row of tiles there, rows of tiles, first tile of the piece) for tile rows [row, last) of the batch, in
// pieces that do not go over a picture's end.
template <class Body>
void for_pictures(const Picture& p, int64_t row, int64_t last, int64_t begin, const Body& body) {
  while (row < last) {
    const int64_t own = row % p.down(), rows = std::min(last - row, p.down() - own);
    body(row / p.down(), own, rows, (row - begin) * p.across());
    row += rows;
  }
}

// Tile rows [begin, end) of the batch, a chunk in each task.
void transform(const Picture& p, int64_t begin, int64_t end, const Transformed& to, const PictureTileKernels& kernels) {
  const int64_t chunks = p.channels / 32, row_bytes = p.row_lines() * kLineBytes, slice = Kernels::tile_slice(chunks);
  const int64_t band = std::clamp<int64_t>((kBandBytes / row_bytes - 2) / Kernels::kDown, 1, p.down());
  base::parallel_tasks(blocks_of(end - begin, band) * chunks, [&](int64_t task) {
    const int64_t chunk = task % chunks, row = begin + task / chunks * band, last = std::min(end, row + band);
    std::byte* copied = thread_memory((Kernels::kDown * band + 2) * row_bytes);
    for_pictures(p, row, last, begin, [&](int64_t picture, int64_t own, int64_t rows, int64_t first) {
      copy_rows(p, picture, Kernels::kDown * own - 1, Kernels::kDown * rows + 2, chunk, copied, kernels);
      for_tiles(p, first, rows, copied, [&](int64_t count, const std::byte* lines, int64_t block, int64_t place) {
        const int64_t line = chunk * Kernels::kTiles + place;
        kernels.winograd->inputs({lines, row_bytes, count,
                                  to.lines + block * Kernels::kFrequencies * slice + line * kLineBytes, slice});
      });
    });
  });
}

// The same to int8: all chunks in each task, since a tile's scales are found over them.
void transform_to_codes(const Picture& p, int64_t begin, int64_t end, const Transformed& to,
                        const PictureTileKernels& kernels) {
  const int64_t row_bytes = p.row_lines() * kLineBytes, slice = Kernels::tile_slice(p.channels / 64);
  const int64_t rows_in_band = 2 * kBandBytes / (row_bytes * (p.channels / 32));
  const int64_t band = std::clamp<int64_t>((rows_in_band - 2) / Kernels::kDown, 1, p.down());
  const int64_t chunk_bytes = (Kernels::kDown * band + 2) * row_bytes;
  const int64_t copied_bytes = p.channels / 32 * chunk_bytes;
  base::parallel_tasks(blocks_of(end - begin, band), [&](int64_t task) {
    const int64_t row = begin + task * band, last = std::min(end, row + band);
    std::byte* copied = thread_memory(copied_bytes + Kernels::kFrequencies * p.channels * 4);
    for_pictures(p, row, last, begin, [&](int64_t picture, int64_t own, int64_t rows, int64_t first) {
      for (int64_t chunk = 0; chunk < p.channels / 32; ++chunk)
        copy_rows(p, picture, Kernels::kDown * own - 1, Kernels::kDown * rows + 2, chunk, copied + chunk * chunk_bytes,
                  kernels);
      for_tiles(p, first, rows, copied, [&](int64_t count, const std::byte* lines, int64_t block, int64_t place) {
        std::byte* own_lines = to.lines + block * Kernels::kFrequencies * slice + place * kLineBytes;
        kernels.winograd->code_inputs({.inputs = {lines, row_bytes, count, own_lines, slice},
                                       .channels = p.channels,
                                       .chunk_bytes = chunk_bytes,
                                       .scales = to.scales + block * Kernels::kFrequencies * Kernels::kTiles + place,
                                       .buffer = reinterpret_cast<float*>(copied + copied_bytes)});
      });
    });
  });
}

// A panel's transformed weights, and room for a block's sums.
struct PanelMemory {
  static constexpr int64_t kNumbers = Kernels::kFrequencies * kTileOuts;  // scales and offsets
  static constexpr int64_t kSumBytes = Kernels::kFrequencies * Kernels::kSumSlice * 4;
  std::byte *weights, *wide;
  float *scales, *sums;
  int32_t* offsets;

  PanelMemory(int64_t chunks, int64_t wide_bytes) {
    const int64_t weight_bytes = Kernels::kFrequencies * Kernels::weight_slice(chunks);
    weights = thread_memory(weight_bytes + kSumBytes + 2 * kNumbers * 4 + wide_bytes);
    sums = reinterpret_cast<float*>(weights + weight_bytes);
    scales = reinterpret_cast<float*>(weights + weight_bytes + kSumBytes);
    offsets = reinterpret_cast<int32_t*>(scales + kNumbers);
    wide = weights + weight_bytes + kSumBytes + 2 * kNumbers * 4;
  }
  void fill(const TileWeights& w, int64_t panel, const PictureTileKernels& kernels) {
    const int64_t chunks = w.in / w.depth();
    const int64_t slice = Kernels::weight_slice(chunks);
    if (w.plain.data) {  // a chunk at a time stays in the first cache
      for (int64_t c = 0; c < chunks; ++c) {
        kernels.panel({w.plain, w.taps, panel, c, 1, wide});
        kernels.winograd->weights(wide, 1, slice, weights + c * kTileOuts * kLineBytes);
      }
      return;
    }
    if (!w.int8) return kernels.winograd->weights(bf16_panel(w, panel, wide, kernels), chunks, slice, weights);
    const std::byte* from = w.data.get() + panel * w.panel_bytes();
    kernels.winograd->code_weights({from, chunks, w.scales.data() + panel * kTileOuts,
                                    w.winograd.data() + panel * kNumbers, weights, scales, offsets});
  }
};

// Panels times the tiles [first, first + count) of the batch.
void multiply(const Picture& p, int64_t first, int64_t count, const Transformed& from, const TileWeights& weights,
              const TileEpilogue& epilogue, TileOutput y, const PictureTileKernels& kernels) {
  const int64_t chunks = p.channels / weights.depth(), slice = Kernels::tile_slice(chunks);
  const int64_t blocks = blocks_of(count, Kernels::kTiles), panels = weights.panels();
  // A task transforms its panel's weights, and so takes as many blocks as leave each thread some tasks.
  const int64_t groups = std::clamp<int64_t>(blocks_of(4 * int64_t{base::num_threads()}, panels), 1, blocks);
  const int64_t step = blocks_of(blocks, groups);
  base::parallel_tasks(panels * blocks_of(blocks, step), [&](int64_t task) {
    const int64_t panel = task % panels, begin = task / panels * step, end = std::min(blocks, begin + step);
    PanelMemory memory(chunks, weights.buffer_bytes());
    memory.fill(weights, panel, kernels);
    const int64_t at = panel * kTileOuts * (y.bf16 ? 2 : 4);
    TileEpilogue own = epilogue;
    if (own.bias) own.bias += panel * kTileOuts;
    if (own.residual) own.residual = static_cast<const std::byte*>(own.residual) + at;
    for (int64_t block = begin; block < end; ++block)
      kernels.winograd->tiles({.inputs = from.lines + block * Kernels::kFrequencies * slice,
                               .weights = memory.weights,
                               .chunks = chunks,
                               .first = first + block * Kernels::kTiles,
                               .count = std::min(Kernels::kTiles, count - block * Kernels::kTiles),
                               .across = p.across(),
                               .down = p.down(),
                               .height = p.height,
                               .width = p.width,
                               .epilogue = own,
                               .y = {static_cast<std::byte*>(y.data) + at, y.bf16},
                               .y_row = weights.out,
                               .sums = memory.sums,
                               .int8 = weights.int8,
                               .input_scales = from.scales + block * Kernels::kFrequencies * Kernels::kTiles,
                               .weight_scales = memory.scales,
                               .offsets = memory.offsets});
  });
}

}  // namespace

void winograd_convolution(TileInput x, const TileAffine& affine, int64_t batch, int64_t height, int64_t width, bool doubled,
                          const TileWeights& weights, const TileEpilogue& epilogue, TileOutput y,
                          const PictureTileKernels& kernels) {
  const Picture p{x, affine, height, width, weights.in, doubled};
  const int64_t slice = Kernels::tile_slice(weights.in / weights.depth()), rows = batch * p.down();
  const int64_t row_bytes = p.across() * Kernels::kFrequencies * weights.in / weights.depth() * kLineBytes;
  const int64_t most = std::clamp<int64_t>(kTransformedBytes / row_bytes, 1, rows);
  const int64_t blocks = blocks_of(most * p.across(), Kernels::kTiles);
  thread_local base::Scratch lines, scales;
  const int64_t scale_bytes = blocks * Kernels::kFrequencies * Kernels::kTiles * 4;
  const Transformed transformed{
      lines.at_least(static_cast<size_t>(blocks * Kernels::kFrequencies * slice)),
      reinterpret_cast<float*>(scales.at_least(static_cast<size_t>(scale_bytes)))};
  for (int64_t begin = 0; begin < rows; begin += most) {
    const int64_t end = std::min(rows, begin + most);
    (weights.int8 ? transform_to_codes : transform)(p, begin, end, transformed, kernels);
    multiply(p, begin * p.across(), (end - begin) * p.across(), transformed, weights, epilogue, y, kernels);
  }
}

std::vector<float> winograd_largest(const TileWeights& weights, const PictureTileKernels& kernels) {
  std::vector<float> largest(static_cast<size_t>(weights.panels() * PanelMemory::kNumbers));
  base::parallel_for(weights.panels(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel)
      kernels.winograd->code_largest(weights.data.get() + panel * weights.panel_bytes(), weights.in / weights.depth(),
                                     largest.data() + panel * PanelMemory::kNumbers);
  });
  return largest;
}

}  // namespace sumi::kernels

#include "kernels/picture_tiles.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "base/memory.h"
#include "base/round_up.h"
#include "base/threads.h"
#include "kernels/isa_copies.h"
#include "kernels/picture_winograd.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(PictureTileKernels, kPictureTiles)

const PictureTileKernels& picture_tile_kernels_for(base::Isa isa) { return SUMI_SELECT_ISA_WITH_TILES(kPictureTiles, isa); }

const PictureTileKernels& picture_tile_kernels() {
  static const PictureTileKernels& kernels = picture_tile_kernels_for(base::active_isa());
  return kernels;
}

bool has_picture_tiles() { return picture_tile_kernels().product != nullptr; }

namespace {

constexpr int64_t kRows = PictureTileKernels::kRows;
constexpr int64_t kTaskRows = 256;  // rows of a task; with their inputs they stay in the second cache
constexpr int64_t kTaskPanels = 16;
// Up to so many pixels, plain weights are multiplied as they are: transforming them takes longer than is saved.
constexpr int64_t kFewPixels = 32;
// A convolution's input is copied in pieces of about this many bytes.
constexpr int64_t kCopiedBytes = int64_t{24} << 20;

uint16_t bf16_of(const void* data, TileSource source, int64_t i) {
  if (source == TileSource::f32) return base::float_to_bf16(static_cast<const float*>(data)[i]);
  const uint16_t bits = static_cast<const uint16_t*>(data)[i];
  return source == TileSource::bf16 ? bits : base::float_to_bf16(base::f16_to_float(bits));
}

// The output that stands at column `lane` of a panel.
int64_t output_at(const TileWeights& w, int64_t panel, int64_t lane) {
  if (!w.gated) return panel * kTileOuts + lane;
  return lane < 16 ? panel * 16 + lane : w.out / 2 + panel * 16 + lane - 16;
}

float float_of(const void* data, TileSource source, int64_t i) {
  if (source == TileSource::f32) return static_cast<const float*>(data)[i];
  const uint16_t bits = static_cast<const uint16_t*>(data)[i];
  return source == TileSource::bf16 ? base::bf16_to_float(bits) : base::f16_to_float(bits);
}

// Where an input and tap of a panel's output `lane` lies among its codes.
int64_t code_place(const TileWeights& w, int64_t in, int64_t tap, int64_t lane) {
  const int64_t together = w.int8 ? 4 : 2, depth = w.depth();
  const int64_t tile = ((in / depth * w.taps + tap) * 2 + lane / 16) * depth * 16;
  return tile + in % depth / together * 16 * together + lane % 16 * together + in % together;
}

// Rounds to the nearest of 255 steps up to each output's largest weight.
void pack_codes(const void* weights, TileSource source, TileWeights& w) {
  w.scales.resize(static_cast<size_t>(w.out));
  w.offsets.resize(static_cast<size_t>(w.out));
  base::parallel_for(w.panels(), 1, [&](int64_t begin, int64_t end) {
    const int64_t row = w.in * w.taps;
    for (int64_t panel = begin; panel < end; ++panel) {
      auto* to = reinterpret_cast<int8_t*>(w.data.get()) + panel * w.panel_bytes();
      for (int64_t lane = 0; lane < kTileOuts; ++lane) {
        const int64_t from = output_at(w, panel, lane) * row;
        float largest = 0;
        for (int64_t i = 0; i < row; ++i) largest = std::max(largest, std::abs(float_of(weights, source, from + i)));
        w.scales[static_cast<size_t>(panel * kTileOuts + lane)] = largest / 127;
        const float inverse = largest > 0 ? 127 / largest : 0;
        int32_t sum = 0;
        for (int64_t in = 0; in < w.in; ++in)
          for (int64_t tap = 0; tap < w.taps; ++tap) {
            const auto code = static_cast<int8_t>(std::lrint(float_of(weights, source, from + in * w.taps + tap) * inverse));
            to[code_place(w, in, tap, lane)] = code;
            sum += code;
          }
        w.offsets[static_cast<size_t>(panel * kTileOuts + lane)] = -128 * sum;
      }
    }
  });
}

// For each picture the largest magnitude that its inputs have after the affine, at least about: from the bounds of each
// channel. SiLU's least value is -0.2785, at -1.278.
std::vector<float> largest_inputs(const PictureTileKernels& kernels, TileInput x, const TileAffine& affine, int64_t batch,
                                  int64_t pixels, int64_t channels) {
  constexpr int64_t kPiece = 256;
  const int64_t pieces = (pixels + kPiece - 1) / kPiece;
  std::vector<float> low(static_cast<size_t>(batch * pieces * channels), INFINITY), high(low.size(), -INFINITY);
  base::parallel_for(batch * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % pieces * kPiece;
      kernels.bounds(offset(x, (item / pieces * pixels + first) * channels), std::min(kPiece, pixels - first), channels,
                     low.data() + item * channels, high.data() + item * channels);
    }
  });
  const auto silu = [](float z) { return z / (1 + std::exp(-z)); };
  std::vector<float> largest(static_cast<size_t>(batch), 0.0f);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t c = 0; c < channels; ++c) {
      float least = INFINITY, most = -INFINITY;
      for (int64_t piece = b * pieces; piece < (b + 1) * pieces; ++piece) {
        least = std::min(least, low[static_cast<size_t>(piece * channels + c)]);
        most = std::max(most, high[static_cast<size_t>(piece * channels + c)]);
      }
      if (affine.scale) {
        const float scale = affine.scale[b * channels + c], shift = affine.shift[b * channels + c];
        const float one = least * scale + shift, other = most * scale + shift;
        least = std::min(one, other);
        most = std::max(one, other);
      }
      float own = std::max(std::abs(least), std::abs(most));
      if (affine.silu) {
        own = std::max(std::abs(silu(least)), std::abs(silu(most)));
        if (least < -1.278f && most > -1.278f) own = std::max(own, 0.2785f);
      }
      largest[static_cast<size_t>(b)] = std::max(largest[static_cast<size_t>(b)], own);
    }
  return largest;
}

// Panels [first, first + count) as products want them.
const std::byte* panels_of(const TileWeights& weights, int64_t first, int64_t count, const PictureTileKernels& kernels) {
  if (weights.laid_out()) return weights.data.get() + first * weights.panel_bytes();
  thread_local base::Scratch scratch;
  const int64_t bytes = weights.buffer_bytes();
  std::byte* wide = scratch.at_least(static_cast<size_t>(count * bytes));
  for (int64_t i = 0; i < count; ++i) bf16_panel(weights, first + i, wide + i * bytes, kernels);
  return wide;
}

// A product over all rows and panels, cut into tasks of rows and panels.
void multiply(const PictureTileKernels& kernels, PictureTileKernels::Product p, const TileWeights& weights) {
  p.tap_count = weights.taps;
  p.chunks = weights.in / weights.depth();
  p.int8 = weights.int8;
  p.gated = weights.gated;
  p.y_row = weights.results();
  std::vector<float> bias;
  if (weights.gated && p.epilogue.bias) {  // as the panels have it
    for (int64_t i = 0; i < weights.out; ++i)
      bias.push_back(p.epilogue.bias[output_at(weights, i / kTileOuts, i % kTileOuts)]);
    p.epilogue.bias = bias.data();
  }
  const int64_t panels = weights.panels(), row_tasks = (p.rows + kTaskRows - 1) / kTaskRows;
  const int64_t wanted = 6 * int64_t{base::num_threads()};
  const int64_t cuts = std::clamp<int64_t>(
      std::max((wanted + row_tasks - 1) / row_tasks, (panels + kTaskPanels - 1) / kTaskPanels), 1, panels);
  const int64_t step = weights.plain.data ? 1 : (panels + cuts - 1) / cuts, panel_tasks = (panels + step - 1) / step;
  // Neighbouring tasks share weights where these are large, and rows elsewhere.
  const bool weights_first = panels * weights.panel_bytes() > (int64_t{1} << 20);
  base::parallel_tasks(row_tasks * panel_tasks, [&](int64_t task) {
    const int64_t row = (weights_first ? task % row_tasks : task / panel_tasks) * kTaskRows;
    const int64_t panel = (weights_first ? task / row_tasks : task % panel_tasks) * step;
    PictureTileKernels::Product part = p;
    part.a += row * p.row_stride;
    part.rows = std::min(kTaskRows, p.rows - row);
    part.panels = std::min(step, panels - panel);
    part.weights = panels_of(weights, panel, part.panels, kernels);
    if (part.epilogue.bias) part.epilogue.bias += panel * kTileOuts;
    if (p.int8) {
      part.weight_scales = weights.scales.data() + panel * kTileOuts;
      part.weight_offsets = weights.offsets.data() + panel * kTileOuts;
      part.row_scales += row;
    }
    const int64_t size = p.y.bf16 ? 2 : 4;
    const int64_t at = (p.places ? 0 : row * p.y_row) + panel * (weights.gated ? 16 : kTileOuts);
    part.y.data = static_cast<std::byte*>(p.y.data) + at * size;
    if (p.epilogue.residual)
      part.epilogue.residual = static_cast<const std::byte*>(p.epilogue.residual) + at * size;
    if (p.places) part.places += row;
    thread_local base::Scratch sums;
    part.scratch = reinterpret_cast<float*>(
        sums.at_least(static_cast<size_t>(PictureTileKernels::scratch_floats(part.rows, part.panels)) * sizeof(float)));
    kernels.product(part);
  });
}

std::byte* copied_memory(int64_t bytes) {
  thread_local base::Scratch scratch;
  return scratch.at_least(static_cast<size_t>(bytes));
}

// A convolution's input with its border: rows of width + 1 lines, the last of which is zero and stands for the borders
// of two rows. Row 0 lies above the first output row, the last row below the last.
struct CopiedRow {
  int64_t picture, y;  // y < 0: zeros
};
std::vector<CopiedRow> rows_with_border(int64_t first_picture, int64_t pictures, int64_t begin, int64_t end,
                                        int64_t height) {
  std::vector<CopiedRow> rows;
  const auto row = [&](int64_t b, int64_t y) { rows.push_back({b, y < height ? y : -1}); };
  for (int64_t b = first_picture; b < first_picture + pictures; ++b) {
    if (b == first_picture) row(b, begin - 1);
    for (int64_t y = begin; y <= end; ++y) row(b, y);
  }
  return rows;
}

}  // namespace

TileWeights pack_tiles(const void* weights, TileSource source, int64_t out, int64_t in, int64_t taps, bool gated,
                       TileNumbers numbers, const PictureTileKernels& kernels) {
  const bool int8 = numbers == TileNumbers::int8;
  const int64_t depth = TileWeights::depth(int8);
  if (out % kTileOuts != 0 || in % depth != 0 || out == 0 || in == 0)
    fail("tiles: {} outputs and {} inputs, expected multiples of {} and {}", out, in, kTileOuts, depth);
  TileWeights packed{out, in, taps, gated, int8, numbers == TileNumbers::int8_weights, nullptr};
  packed.data = base::allocate(packed.bytes());
  if (numbers != TileNumbers::bf16) {
    pack_codes(weights, source, packed);
    if (int8 && taps == 9 && kernels.winograd) packed.winograd = winograd_largest(packed, kernels);
    return packed;
  }
  auto* data = reinterpret_cast<uint16_t*>(packed.data.get());
  base::parallel_for(packed.panels(), 1, [&](int64_t begin, int64_t end) {
    uint16_t* to = data + begin * packed.panel_bytes() / 2;
    for (int64_t panel = begin; panel < end; ++panel)
      for (int64_t chunk = 0; chunk < in; chunk += depth)
        for (int64_t tap = 0; tap < taps; ++tap)
          for (int64_t half = 0; half < 2; ++half)
            for (int64_t pair = 0; pair < depth; pair += 2)
              for (int64_t lane = 0; lane < 16; ++lane) {
                const int64_t row = output_at(packed, panel, half * 16 + lane) * in;
                for (int64_t i = chunk + pair; i < chunk + pair + 2; ++i)
                  *to++ = bf16_of(weights, source, (row + i) * taps + tap);
              }
  });
  return packed;
}

TileWeights plain_tiles(const void* weights, bool bf16, int64_t out, int64_t in, int64_t taps, bool turned) {
  constexpr int64_t kDepth = TileWeights::depth(false);
  if (out % kDepth != 0 || in % kDepth != 0 || out == 0 || in == 0 || (taps != 1 && taps != 9))
    fail("tiles: {} outputs, {} inputs and {} taps, expected multiples of {}, and 1 or 9", out, in, taps, kDepth);
  TileWeights w{.out = turned ? in : out, .in = turned ? out : in, .taps = taps, .data = nullptr};
  w.plain = {weights, bf16, in, turned};
  return w;
}

const std::byte* bf16_panel(const TileWeights& weights, int64_t panel, std::byte* buffer, const PictureTileKernels& kernels) {
  if (weights.plain.data) {
    kernels.panel({weights.plain, weights.taps, panel, 0, weights.in / weights.depth(), buffer});
    return buffer;
  }
  const std::byte* from = weights.data.get() + panel * weights.panel_bytes();
  if (!weights.int8_weights) return from;
  kernels.widen(from, weights.scales.data() + panel * kTileOuts, weights.in * weights.taps, buffer);
  return buffer;
}

void tile_product(TileInput x, const TileAffine& affine, int64_t batch, int64_t rows, const TileWeights& weights,
                  const TileEpilogue& epilogue, TileOutput y, const PictureTileKernels& kernels) {
  static constexpr int64_t kNoShift = 0;
  const int64_t in = weights.in, all = batch * rows, tail = all % kRows, whole = all - tail;
  PictureTileKernels::Product p{.a = static_cast<const std::byte*>(x.data),
                                .row_stride = in * 2,
                                .chunk_stride = kLineBytes,
                                .taps = &kNoShift,
                                .rows = whole,
                                .epilogue = epilogue,
                                .y = y};
  const bool in_lines = kernels.zero_code != 0;  // how vectors want them
  if (!x.bf16 || affine.scale || affine.silu || weights.int8 || in_lines) {  // copied, as a convolution's
    const int64_t chunk_stride = base::round_up(all, kRows) * kLineBytes;
    std::byte* copied = copied_memory(in / weights.depth() * chunk_stride);
    std::vector<float> scales(static_cast<size_t>(weights.int8 ? all : 0));
    constexpr int64_t kPiece = 64;
    const int64_t pieces = (rows + kPiece - 1) / kPiece;
    base::parallel_for(batch * pieces, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> buffer(static_cast<size_t>(in));
      for (int64_t piece = begin; piece < end; ++piece) {
        const int64_t picture = piece / pieces, row = piece % pieces * kPiece;
        PictureTileKernels::Lines lines{.x = offset(x, (picture * rows + row) * in),
                                        .pixels = std::min(kPiece, rows - row),
                                        .step = in,
                                        .channels = in,
                                        .affine = affine,
                                        .to = copied + (picture * rows + row) * kLineBytes,
                                        .chunk_stride = chunk_stride};
        if (affine.scale) {
          lines.affine.scale += picture * in;
          lines.affine.shift += picture * in;
        }
        if (weights.int8)
          kernels.quantize(lines, scales.data() + picture * rows + row, buffer.data());
        else
          kernels.lines(lines);
      }
    });
    p.row_scales = scales.data();
    p.a = copied;
    p.row_stride = kLineBytes;
    p.chunk_stride = chunk_stride;
    p.rows = all;
    return multiply(kernels, p, weights);
  }
  if (whole > 0) multiply(kernels, p, weights);
  if (tail == 0) return;
  // The last rows in memory of their own, since tiles are read whole.
  std::byte* copied = copied_memory(kRows * in * 2);
  std::memcpy(copied, p.a + whole * in * 2, static_cast<size_t>(tail * in * 2));
  p.a = copied;
  p.rows = tail;
  const int64_t at = whole * weights.results() * (y.bf16 ? 2 : 4);
  p.y.data = static_cast<std::byte*>(y.data) + at;
  if (epilogue.residual) p.epilogue.residual = static_cast<const std::byte*>(epilogue.residual) + at;
  multiply(kernels, p, weights);
}

void tile_convolution(TileInput x, const TileAffine& affine, int64_t batch, int64_t height, int64_t width, bool doubled,
                      const TileWeights& weights, const TileEpilogue& epilogue, TileOutput y,
                      const PictureTileKernels& kernels) {
  if (kernels.winograd && (!weights.plain.data || batch * height * width > kFewPixels))
    return winograd_convolution(x, affine, batch, height, width, doubled, weights, epilogue, y, kernels);
  const int64_t in = weights.in, pitch = width + 1, chunks = in / weights.depth();
  const int64_t row_bytes = pitch * chunks * kLineBytes;
  const bool together = batch * (height + 2) * row_bytes <= kCopiedBytes;
  const int64_t band = together ? height : std::clamp<int64_t>(kCopiedBytes / row_bytes - 2, 1, height);
  const int64_t from_width = doubled ? width / 2 : width, from_height = doubled ? height / 2 : height;
  std::array<int64_t, 9> taps;
  for (int64_t t = 0; t < 9; ++t) taps[static_cast<size_t>(t)] = (t / 3 * pitch + t % 3) * kLineBytes;
  std::vector<float> scales, row_scales;  // of pictures and of the product's rows
  if (weights.int8)
    for (const float largest : largest_inputs(kernels, x, affine, batch, from_height * from_width, in))
      scales.push_back(largest / 127);
  std::vector<int32_t> places;
  for (int64_t b = 0; b < batch; b += together ? batch : 1)
    for (int64_t begin = 0; begin < height; begin += band) {
      const int64_t end = std::min(begin + band, height), pictures = together ? batch : 1;
      const std::vector<CopiedRow> rows = rows_with_border(b, pictures, begin, end, height);
      const auto count = static_cast<int64_t>(rows.size());
      // One zero before the first pixel; blocks of rows end beyond the last.
      const int64_t chunk_lines = 1 + count * pitch + kRows + 1;
      std::byte* copied = copied_memory(chunks * chunk_lines * kLineBytes);
      base::parallel_for(count, 1, [&](int64_t first, int64_t last) {
        for (int64_t j = first; j < last; ++j) {
          const CopiedRow row = rows[static_cast<size_t>(j)];
          std::byte* to = copied + (1 + j * pitch) * kLineBytes;
          const int zero = weights.int8 ? kernels.zero_code : 0;
          const auto clear = [&](std::byte* line, int64_t lines) {
            for (int64_t c = 0; c < chunks; ++c)
              std::memset(line + c * chunk_lines * kLineBytes, zero, static_cast<size_t>(lines * kLineBytes));
          };
          if (j == 0) clear(copied, 1);
          if (row.y < 0) {
            clear(to, pitch);
            continue;
          }
          clear(to + width * kLineBytes, 1);
          PictureTileKernels::Lines lines{.x = offset(x, (row.picture * from_height + (doubled ? row.y / 2 : row.y)) *
                                                             from_width * in),
                                          .pixels = from_width,
                                          .step = in,
                                          .repeat = doubled ? 2 : 1,
                                          .channels = in,
                                          .affine = affine,
                                          .to = to,
                                          .chunk_stride = chunk_lines * kLineBytes};
          if (affine.scale) {
            lines.affine.scale += row.picture * in;
            lines.affine.shift += row.picture * in;
          }
          if (weights.int8) {
            const float scale = scales[static_cast<size_t>(row.picture)];
            lines.int8 = true;
            lines.inverse = scale > 0 ? 1 / scale : 0;
          }
          kernels.lines(lines);
        }
      });
      places.clear();
      row_scales.clear();
      for (int64_t j = 1; j + 1 < count; ++j) {
        const CopiedRow row = rows[static_cast<size_t>(j)];
        const int64_t at = (row.picture * height + row.y) * width;
        if (weights.int8)
          row_scales.insert(row_scales.end(), static_cast<size_t>(pitch), scales[static_cast<size_t>(row.picture)]);
        for (int64_t column = 0; column < pitch; ++column)
          places.push_back(row.y >= 0 && column < width ? static_cast<int32_t>(at + column) : -1);
      }
      multiply(kernels,
               {.a = copied,
                .row_stride = kLineBytes,
                .chunk_stride = chunk_lines * kLineBytes,
                .taps = taps.data(),
                .rows = static_cast<int64_t>(places.size()),
                .row_scales = row_scales.data(),
                .epilogue = epilogue,
                .y = y,
                .places = places.data()},
               weights);
    }
}

}  // namespace sumi::kernels

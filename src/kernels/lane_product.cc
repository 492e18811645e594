#include "kernels/lane_product.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/half.h"
#include "base/memory.h"
#include "base/threads.h"
#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(LaneKernels, kLaneKernels)

const LaneKernels& lane_kernels_for(base::Isa isa) { return SUMI_SELECT_ISA(kLaneKernels, isa); }

const LaneKernels& lane_kernels() {
  static const LaneKernels& kernels = lane_kernels_for(base::active_isa());
  return kernels;
}

namespace {

int64_t element_bytes(LaneType type) {
  switch (type) {
    case LaneType::f32: return 4;
    case LaneType::bf16: return 2;
    case LaneType::f16: return 2;
    case LaneType::s8: return 1;
  }
  return 0;
}

float* floats_of(base::Scratch& scratch, int64_t count) {
  return reinterpret_cast<float*>(scratch.at_least(static_cast<size_t>(count) * sizeof(float)));
}

float* thread_scratch(int64_t floats) {
  thread_local base::Scratch scratch;
  return floats_of(scratch, floats);
}

int64_t blocks_of(int64_t count, int64_t block) { return (count + block - 1) / block; }

// Tiles are transformed in pieces of about this many bytes, which stay in the last-level cache.
constexpr int64_t kTransformedBytes = int64_t{32} << 20;

}  // namespace

size_t LaneWeights::bytes() const {
  return static_cast<size_t>(out * in * taps * element_bytes(type)) + scales.size() * sizeof(float);
}

LaneWeights pack_lanes(const float* weights, int64_t out, int64_t in, int64_t taps, LaneType type) {
  if (out % kLanes != 0 || in % kLanes != 0)
    fail("lanes: {} outputs and {} inputs, expected multiples of {}", out, in, kLanes);
  LaneWeights packed{out, in, taps, type, nullptr, {}};
  packed.data = base::allocate(static_cast<size_t>(out * in * taps * element_bytes(type)));
  const int64_t row = in * taps;
  if (type == LaneType::s8) packed.scales.resize(static_cast<size_t>(out));
  std::byte* data = packed.data.get();
  base::parallel_for(out / kLanes, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const float* from = weights + block * kLanes * row;
      std::array<float, kLanes> inverse{};
      for (int64_t lane = 0; type == LaneType::s8 && lane < kLanes; ++lane) {
        float largest = 0;
        for (int64_t i = 0; i < row; ++i) largest = std::max(largest, std::abs(from[lane * row + i]));
        packed.scales[static_cast<size_t>(block * kLanes + lane)] = largest / 127;
        inverse[static_cast<size_t>(lane)] = largest > 0 ? 127 / largest : 0;
      }
      for (int64_t i = 0; i < row; ++i)
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          const float value = from[lane * row + i];
          const int64_t at = (block * row + i) * kLanes + lane;
          switch (type) {
            case LaneType::f32: reinterpret_cast<float*>(data)[at] = value; break;
            case LaneType::bf16:
              reinterpret_cast<uint16_t*>(data)[at] = base::float_to_bf16(value);
              break;
            case LaneType::f16:
              reinterpret_cast<uint16_t*>(data)[at] = base::float_to_f16(value);
              break;
            case LaneType::s8:
              reinterpret_cast<int8_t*>(data)[at] =
                  static_cast<int8_t>(std::lrint(value * inverse[static_cast<size_t>(lane)]));
              break;
          }
        }
    }
  });
  return packed;
}

void lane_product(const float* x, int64_t rows, const LaneWeights& weights, const LaneEpilogue& epilogue, float* y) {
  const LaneKernels& kernels = lane_kernels();
  const int64_t outs = weights.out / kLanes;
  // Neighbouring tasks share their rows, which stay in the second cache.
  base::parallel_tasks(blocks_of(rows, LaneKernels::kRows) * outs, [&](int64_t task) {
    const int64_t first = task / outs * LaneKernels::kRows;
    kernels.product({.x = x + first * weights.in,
                     .rows = std::min(LaneKernels::kRows, rows - first),
                     .weights = &weights,
                     .block = task % outs,
                     .epilogue = &epilogue,
                     .y = y + first * weights.out,
                     .scratch = thread_scratch(LaneKernels::product_scratch)});
  });
}

void lane_convolution(const float* x, int64_t batch, int64_t height, int64_t width, bool doubled,
                      const LaneWeights& weights, const LaneEpilogue& epilogue, float* y) {
  const LaneKernels& kernels = lane_kernels();
  constexpr int64_t kTiles = LaneKernels::kTiles;
  const LaneKernels::Picture picture{height, width, blocks_of(width, 4), blocks_of(height, 4), doubled};
  const int64_t tiles = batch * picture.tiles();
  const int64_t ins = weights.in / kLanes, outs = weights.out / kLanes;
  const int64_t block_floats = ins * LaneKernels::kFrequencies * LaneKernels::kTileSlice;  // of kTiles tiles
  const int64_t most = std::clamp<int64_t>(
      kTransformedBytes / (block_floats * static_cast<int64_t>(sizeof(float))), 1,
      blocks_of(tiles, kTiles));
  thread_local base::Scratch pieces;
  float* transformed = floats_of(pieces, most * block_floats);
  for (int64_t piece = 0; piece < tiles; piece += most * kTiles) {
    const int64_t blocks = blocks_of(std::min(tiles - piece, most * kTiles), kTiles);
    const auto count = [&](int64_t block) { return std::min(kTiles, tiles - piece - block * kTiles); };
    base::parallel_tasks(blocks * ins, [&](int64_t task) {
      const int64_t block = task / ins, in = task % ins;
      kernels.transform(x, picture, weights.in, piece + block * kTiles, count(block), in, in + 1,
                        transformed + block * block_floats);
    });
    base::parallel_tasks(blocks * outs, [&](int64_t task) {
      const int64_t block = task / outs;
      kernels.tiles({.picture = picture,
                     .first = piece + block * kTiles,
                     .count = count(block),
                     .weights = &weights,
                     .block = task % outs,
                     .epilogue = &epilogue,
                     .transformed = transformed + block * block_floats,
                     .y = y,
                     .scratch = thread_scratch(LaneKernels::tile_scratch)});
    });
  }
}

}  // namespace sumi::kernels

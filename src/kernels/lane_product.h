// Products and 3x3 convolutions of pictures in f32 from weights that are stored small (bf16, f16, int8) or as f32: each
// tile of weights is widened just before it is used, in the cache, so that a model takes the memory of its stored type
// and runs at the speed of f32. Without bf16 instructions this is the fastest way to compute with bf16 weights.
//
// 3x3 convolutions go through Winograd's F(4x4, 3x3) (arXiv:1509.09308): 36 multiplications make 16 outputs, where the
// plain formula needs 144. One copy per instruction set.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/cpu.h"

namespace sumi::kernels {

inline constexpr int64_t kLanes = 64;  // output channels that are computed together, and input channels in a block

enum class LaneType { f32, bf16, f16, s8 };

// Weights [out, in, taps] in the order [out / 64][in][taps][64].
struct LaneWeights {
  int64_t out = 0, in = 0, taps = 1;  // out and in are multiples of kLanes
  LaneType type = LaneType::f32;
  std::shared_ptr<std::byte> data;
  std::vector<float> scales;  // s8: the weight is its code times scales[out]; else empty

  size_t bytes() const;
};

// weights: plain f32 [out, in, taps]. s8 rounds to the nearest of 255 steps up to each output channel's largest weight.
LaneWeights pack_lanes(const float* weights, int64_t out, int64_t in, int64_t taps, LaneType type);

// What happens to a result before it is stored.
struct LaneEpilogue {
  const float* bias = nullptr;  // [out]
  bool silu = false;            // after the bias
  bool accumulate = false;      // adds to what y holds, after the bias
};

// y [rows, out] = x [rows, in] times the weights' transpose (taps = 1).
void lane_product(const float* x, int64_t rows, const LaneWeights& weights, const LaneEpilogue& epilogue, float* y);

// y [batch, height, width, out] = the 3x3 convolution of x [batch, height, width, in] with a border of one zero
// (taps = 9). doubled: x is [batch, height / 2, width / 2, in], and each of its pixels stands for 2x2.
void lane_convolution(const float* x, int64_t batch, int64_t height, int64_t width, bool doubled,
                      const LaneWeights& weights, const LaneEpilogue& epilogue, float* y);

// The parts of both, for one thread.
struct LaneKernels {
  static constexpr int64_t kRows = 192;         // rows of a product in a call
  static constexpr int64_t kTiles = 96;         // tiles of 4x4 outputs in a call
  static constexpr int64_t kFrequencies = 36;   // numbers a tile of 6x6 inputs becomes
  // Floats from one frequency's tiles to the next's: a line more than they take, since 36 lines at a multiple of 4 KiB
  // would share one set of the first cache.
  static constexpr int64_t kTileSlice = kTiles * kLanes + 16;
  static constexpr int64_t kWeightSlice = kLanes * kLanes + 16;

  struct Product {
    const float* x;
    int64_t rows;  // up to kRows
    const LaneWeights* weights;
    int64_t block;  // of 64 output channels
    const LaneEpilogue* epilogue;
    float* y;        // row 0, channel 0
    float* scratch;  // product_scratch floats
  };
  struct Picture {
    int64_t height, width, tiles_across, tiles_down;
    bool doubled;  // the input has half the height and width
    int64_t tiles() const { return tiles_across * tiles_down; }  // of one picture
  };
  struct Tiles {
    Picture picture;
    int64_t first, count;  // tiles over the whole batch; up to kTiles
    const LaneWeights* weights;
    int64_t block;
    const LaneEpilogue* epilogue;
    const float* transformed;  // [in / 64][36][kTiles][64], frequencies kTileSlice apart
    float* y;                  // of the batch
    float* scratch;            // tile_scratch floats
  };

  void (*product)(const Product& args);
  // to (as Tiles::transformed): tiles [first, first + count) of x, all channels in [64 begin, 64 end).
  void (*transform)(const float* x, const Picture& picture, int64_t channels, int64_t first, int64_t count,
                    int64_t begin, int64_t end, float* to);
  void (*tiles)(const Tiles& args);

  static constexpr int64_t kProductDepth = 512;  // inputs whose weights are wide at a time
  static constexpr int64_t product_scratch = kLanes * kProductDepth + kRows * kLanes;
  static constexpr int64_t tile_scratch = kFrequencies * (kWeightSlice + kTileSlice);
};

const LaneKernels& lane_kernels();  // for base::active_isa()
const LaneKernels& lane_kernels_for(base::Isa isa);

}  // namespace sumi::kernels

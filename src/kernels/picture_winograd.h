// 3x3 convolutions of pictures by Winograd's F(2x4, 3x3) (arXiv:1509.09308) with products in bf16 or int8, for processors that
// multiply both in vectors: 24 multiplications make 8 outputs, where the plain formula needs 72. Numbers are transformed in
// f32 and rounded before they are multiplied: to bf16, or to int8 with a scale for each tile and frequency, and for each
// output and frequency. Sums are f32, or int32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/picture_tiles.h"

namespace sumi::kernels {

// The parts of a convolution, for one thread. A tile is kDown x kAcross outputs; inputs of a tile and a line of channels, 32
// or 64 in int8, become a line for each frequency.
struct PictureWinogradKernels {
  static constexpr int64_t kDown = 2, kAcross = 4;
  static constexpr int64_t kRows = kDown + 2, kColumns = kAcross + 2;  // of inputs, and of frequencies
  static constexpr int64_t kFrequencies = kRows * kColumns;
  static constexpr int64_t kTiles = kFrequencies > 16 ? 96 : 192;  // multiplied together: sums stay in the second cache

  // Bytes from a frequency's lines to the next's, of the weights of a panel and of kTiles tiles: a line more than they take,
  // since so many places at a multiple of 4 KiB would share one set of the first cache.
  static constexpr int64_t weight_slice(int64_t chunks) { return chunks * kTileOuts * kLineBytes + kLineBytes; }
  static constexpr int64_t tile_slice(int64_t chunks) { return chunks * kTiles * kLineBytes + kLineBytes; }
  static constexpr int64_t kSumSlice = kTiles * kTileOuts + 16;  // floats

  struct Inputs {  // of one chunk
    const std::byte* lines;  // of the first tile's upper left input; the next tile's is kAcross lines on
    int64_t row_bytes;       // from a row of lines to the next
    int64_t tiles;
    std::byte* to;  // the first tile's line of frequency 0; the next tile's follows
    int64_t slice;
  };
  struct CodeInputs {  // of all chunks, to int8
    Inputs inputs;
    int64_t channels;
    int64_t chunk_bytes;  // from lines of 32 channels to the next
    float* scales;        // of the first tile, [kFrequencies][kTiles]; the next tile's follows
    float* buffer;        // kFrequencies * channels, aligned to 64 bytes
  };
  struct CodeWeights {
    const std::byte* panel;  // of TileWeights of 9 taps
    int64_t chunks;
    const float* scales;   // [32]
    const float* largest;  // [kFrequencies][32], from code_largest
    std::byte* to;
    float* to_scales;      // [kFrequencies][32]
    int32_t* to_offsets;   // [kFrequencies][32]: -128 times the sum of an output's codes
  };
  struct Tiles {
    const std::byte* inputs;   // [kFrequencies][chunks][kTiles] lines, frequencies tile_slice apart
    const std::byte* weights;  // of a panel, [kFrequencies][chunks][2][16] lines, frequencies weight_slice apart
    int64_t chunks;
    int64_t first, count;  // tiles over the whole batch; up to kTiles
    int64_t across, down;  // tiles of a picture
    int64_t height, width;
    TileEpilogue epilogue;  // of the panel
    TileOutput y;           // of the panel, picture 0
    int64_t y_row;          // elements from a pixel to the next
    float* sums;            // kFrequencies * kSumSlice
    bool int8;
    const float *input_scales, *weight_scales;  // int8: [kFrequencies][kTiles] and [kFrequencies][32]
    const int32_t* offsets;                     // int8: [kFrequencies][32]
  };

  void (*inputs)(const Inputs& args);
  // Chunks of a panel of TileWeights of 9 taps in bf16; frequencies are `slice` bytes apart.
  void (*weights)(const std::byte* panel, int64_t chunks, int64_t slice, std::byte* to);
  void (*code_inputs)(const CodeInputs& args);
  // Of codes, before their scale: the largest magnitude of each frequency and output, to [kFrequencies][32].
  void (*code_largest)(const std::byte* panel, int64_t chunks, float* to);
  void (*code_weights)(const CodeWeights& args);
  void (*tiles)(const Tiles& args);
};

// As tile_convolution.
void winograd_convolution(TileInput x, const TileAffine& affine, int64_t batch, int64_t height, int64_t width, bool doubled,
                          const TileWeights& weights, const TileEpilogue& epilogue, TileOutput y,
                          const PictureTileKernels& kernels);

// TileWeights::winograd of weights of int8.
std::vector<float> winograd_largest(const TileWeights& weights, const PictureTileKernels& kernels);

}  // namespace sumi::kernels

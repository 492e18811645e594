// Products and 3x3 convolutions of pictures from AVX-512 VNNI on, in AMX tiles or in vectors: bf16 operands
// summed in f32, or int8 ones summed in int32 (W8A8: weights with a scale for each output, inputs with one for each row of a
// product, or each picture of a convolution, found as they are read). A convolution is a product over shifted pictures: its
// input is copied once into lines of 32 channels with a border of zeros, so that 16 neighbouring pixels of any tap are one
// tile, and 16 outputs begin at any pixel.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/cpu.h"

namespace sumi::kernels {

inline constexpr int64_t kTileOuts = 32;   // output channels in a panel
inline constexpr int64_t kLineBytes = 64;  // of a row of a tile

// Whether the level in use has them.
bool has_picture_tiles();

struct PictureTileKernels;
struct PictureWinogradKernels;
const PictureTileKernels& picture_tile_kernels();  // for base::active_isa()

// Plain weights [out, in, taps] of f32 or bf16 that products read panel by panel as they are needed. Turned: of the gradient
// by the picture, whose outputs are `in` and whose taps go backwards.
struct PlainTileWeights {
  const void* data = nullptr;
  bool bf16 = false;
  int64_t in = 0;
  bool turned = false;
};

// Weights [out, in, taps] in the order [out / 32][in / 32][taps][2][16 pairs of inputs][16 outputs][2]; int8 in fours:
// [out / 32][in / 64][taps][2][16][16 outputs][4]. int8 weights beside bf16 inputs lie as bf16 ones, and are widened panel by
// panel before they are multiplied.
struct TileWeights {
  int64_t out = 0, in = 0, taps = 1;  // out is a multiple of kTileOuts, in of depth()
  // The outputs are values and then as many gates: a panel holds 16 values and their gates, and the product gives
  // value * gelu(gate), out / 2 numbers.
  bool gated = false;
  bool int8 = false;          // of inputs, too
  bool int8_weights = false;  // of weights alone
  std::shared_ptr<std::byte> data;
  PlainTileWeights plain = {};   // where the numbers are if `data` has none
  std::vector<float> scales = {};     // of both kinds of int8: [out], in the panels' order
  std::vector<int32_t> offsets = {};  // int8: -128 times the sum of an output's codes
  std::vector<float> winograd = {};   // int8 of 9 taps for picture_winograd.h: [panels][frequencies][32]; else empty

  static constexpr int64_t depth(bool int8) { return int8 ? 64 : 32; }
  int64_t depth() const { return depth(int8); }  // inputs in a line
  int64_t panels() const { return out / kTileOuts; }
  int64_t panel_bytes() const { return in / depth() * taps * kTileOuts * kLineBytes / (int8_weights ? 2 : 1); }
  bool laid_out() const { return !int8_weights && !plain.data; }  // panels need no buffer
  int64_t buffer_bytes() const { return laid_out() ? 0 : in * taps * kLineBytes; }
  size_t bytes() const { return static_cast<size_t>(panels() * panel_bytes()); }
  int64_t results() const { return gated ? out / 2 : out; }
};

// weights: plain [out, in, taps], of f32 or as stored bf16 or f16 bits.
enum class TileSource { f32, bf16, f16 };
enum class TileNumbers { bf16, int8, int8_weights };
TileWeights pack_tiles(const void* weights, TileSource source, int64_t out, int64_t in, int64_t taps, bool gated,
                       TileNumbers numbers = TileNumbers::bf16,
                       const PictureTileKernels& kernels = picture_tile_kernels());

// The weights [out, in, taps] as they are, of a convolution or (turned) of its gradient by the picture. They must outlive it.
TileWeights plain_tiles(const void* weights, bool bf16, int64_t out, int64_t in, int64_t taps, bool turned);

// Numbers of f32 or bf16.
struct TileInput {
  const void* data = nullptr;
  bool bf16 = false;
};
inline TileInput offset(TileInput x, int64_t elements) {
  return {static_cast<const std::byte*>(x.data) + elements * (x.bf16 ? 2 : 4), x.bf16};
}
struct TileOutput {
  void* data = nullptr;
  bool bf16 = false;
};

// What happens to a result before it is stored.
struct TileEpilogue {
  const float* bias = nullptr;     // [out]
  bool silu = false;               // after the bias
  const void* residual = nullptr;  // added last; the type and shape of y, may be y
};

// What is done to each input as it is copied: x * scale + shift, then silu. The border stays zero.
struct TileAffine {
  const float *scale = nullptr, *shift = nullptr;  // [batch, in], or null
  bool silu = false;
};

// Panel `panel` of weights of bf16, int8_weights or plain ones: its memory, or `buffer` (buffer_bytes) with what was laid out.
const std::byte* bf16_panel(const TileWeights& weights, int64_t panel, std::byte* buffer, const PictureTileKernels& kernels);

// y [batch, rows, results] = x [batch, rows, in] times the weights' transpose (taps = 1).
void tile_product(TileInput x, const TileAffine& affine, int64_t batch, int64_t rows, const TileWeights& weights,
                  const TileEpilogue& epilogue, TileOutput y,
                  const PictureTileKernels& kernels = picture_tile_kernels());

// y [batch, height, width, out] = the 3x3 convolution of x with a border of one zero (taps = 9). x is [batch, height,
// width, in], or half as high and wide if `doubled`: each of its pixels then stands for 2x2.
void tile_convolution(TileInput x, const TileAffine& affine, int64_t batch, int64_t height, int64_t width, bool doubled,
                      const TileWeights& weights, const TileEpilogue& epilogue, TileOutput y,
                      const PictureTileKernels& kernels = picture_tile_kernels());

// The parts of both, for one thread. All are null at lower levels.
struct PictureTileKernels {
  static constexpr int64_t kRows = 32;  // rows are read in blocks of so many

  // Chunks that are multiplied at a time, and the floats that wait between them, for rows and panels of a product.
  static constexpr int64_t stretch(int64_t taps) { return taps == 1 ? 10 : 1; }
  static constexpr int64_t scratch_floats(int64_t rows, int64_t panels) {
    return (rows + kRows - 1) / kRows * kRows * panels * kTileOuts;
  }

  struct Product {
    // Row r of chunk c and tap t begins at a + r * row_stride + c * chunk_stride + taps[t]: kLineBytes bytes. The stride of
    // rows is kLineBytes where zero_code is not 0.
    const std::byte* a = nullptr;
    int64_t row_stride = 0, chunk_stride = 0;  // bytes
    const int64_t* taps = nullptr;
    int64_t tap_count = 1, chunks = 0;  // 9 taps are rows of three lines, one after the other
    int64_t rows = 0;  // all up to the next multiple of kRows must be readable
    const std::byte* weights = nullptr;  // of the first panel
    int64_t panels = 0;
    bool gated = false, int8 = false;
    const float* weight_scales = nullptr;  // int8: of the first panel, in the panels' order
    const int32_t* weight_offsets = nullptr;  // int8: added to sums whose inputs have codes from 1 to 255
    const float* row_scales = nullptr;     // int8: of each row
    // Of the first panel; the bias is in the panels' order.
    TileEpilogue epilogue;
    TileOutput y;
    int64_t y_row = 0;  // elements
    float* scratch = nullptr;  // scratch_floats, aligned to 64 bytes
    const int32_t* places = nullptr;  // row r's results are y's row places[r], none if negative; null: row r
  };
  struct Lines {
    TileInput x;  // the first pixel
    int64_t pixels = 0, step = 0;  // elements from a pixel to the next
    int64_t repeat = 1;            // lines for each pixel
    int64_t channels = 0;
    TileAffine affine;  // of this picture
    std::byte* to = nullptr;
    int64_t chunk_stride = 0;  // bytes from a line's channels to the next
    bool int8 = false;
    float inverse = 0;  // int8: codes are inputs times this, rounded
  };

  struct PlainPanel {  // chunks of 32 inputs of a panel, one after the other
    PlainTileWeights weights;
    int64_t taps, panel, first_chunk, chunks;
    std::byte* to;
  };

  void (*product)(const Product& args);
  void (*lines)(const Lines& args);
  // int8 lines, each pixel with a scale of its own: its largest input over 127. buffer: [channels].
  void (*quantize)(const Lines& args, float* scales, float* buffer);
  // low and high [channels] of these and the inputs of `pixels` pixels, one after the other.
  void (*bounds)(TileInput x, int64_t pixels, int64_t channels, float* low, float* high);
  // A panel of int8_weights as one of bf16: `lines` of 32 codes, the two halves of a chunk and tap one after the other;
  // scales [32].
  void (*widen)(const std::byte* codes, const float* scales, int64_t lines, std::byte* to);
  void (*panel)(const PlainPanel& args);
  uint8_t zero_code;  // of int8 inputs in lines: 0, or 128, and all codes by as much higher
  const PictureWinogradKernels* winograd;  // of 3x3 convolutions; null where lines are multiplied for each tap
};

const PictureTileKernels& picture_tile_kernels_for(base::Isa isa);

}  // namespace sumi::kernels

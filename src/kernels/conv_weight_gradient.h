// The gradient of a padded 3x3 convolution by its weights in bf16, for levels from AVX-512 VNNI on but AMX: for each
// tap a product over pixels. Pairs of neighbouring pixels are laid side by side once, and once more beginning at odd pixels,
// for the taps of the middle column.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

struct ConvWeightGradient {
  const uint16_t *x = nullptr, *dy = nullptr;  // bf16, [batch, height, width, in] and [..., out]
  int64_t batch = 0, height = 0, width = 0, in = 0, out = 0;  // width even, in and out multiples of 32
};

struct ConvWeightGradientKernels {
  static constexpr int64_t kBlock = 32;  // inputs and outputs of a task

  // Pixels first and second of `channels` channels, 16 to a line of pairs, lines `step` pairs apart; null: zeros.
  void (*pairs)(const uint16_t* first, const uint16_t* second, int64_t channels, int64_t step, uint32_t* to);
  struct Block {
    // [2][16 inputs] lines of the picture with its border, beginning at even and at odd pixels; the other 16 are in_step on.
    const uint32_t *even, *odd;
    int64_t in_step;
    const uint32_t* dy;  // lines of 16 outputs of the picture without a border; the other 16 are out_step on
    int64_t out_step;
    int64_t rows, pairs;  // of pictures, pairs of a row
    int64_t picture_rows; // rows of a picture: two more lie between its rows and the next picture's
    int64_t in;           // to a result's next output: 9 in
    float* f32;           // [32][32][9] of the results, in one of the two types
    uint16_t* bf16;
    float* sums;          // 9 * 32 * 32, aligned
  };
  void (*block)(const Block& args);
};

// For base::active_isa(); empty with AMX, for which oneDNN has code.
const ConvWeightGradientKernels& conv_weight_gradient_kernels();
const ConvWeightGradientKernels& conv_weight_gradient_kernels_for(base::Isa isa);

// Whether the processor has it, and it takes these sizes.
bool has_conv_weight_gradient(const ConvWeightGradient& problem);

// dweights [out, in, 9], one of the two. Uses all threads, whose number does not change results.
void conv_weight_gradient(const ConvWeightGradient& problem, float* f32, uint16_t* bf16,
                          const ConvWeightGradientKernels& kernels = conv_weight_gradient_kernels());

}  // namespace sumi::kernels

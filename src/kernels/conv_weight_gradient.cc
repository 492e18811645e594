#include "kernels/conv_weight_gradient.h"

#include "base/memory.h"
#include "base/threads.h"
#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(ConvWeightGradientKernels, kConvWeightGradient)

const ConvWeightGradientKernels& conv_weight_gradient_kernels_for(base::Isa isa) {
  return SUMI_SELECT_ISA(kConvWeightGradient, isa);
}

const ConvWeightGradientKernels& conv_weight_gradient_kernels() {
  static const ConvWeightGradientKernels kernels = base::active_isa() == base::Isa::avx512_amx
                                                       ? ConvWeightGradientKernels{}
                                                       : conv_weight_gradient_kernels_for(base::active_isa());
  return kernels;
}

namespace {

using Kernels = ConvWeightGradientKernels;
constexpr int64_t kLine = 16;  // channels, and numbers of 4 bytes, of a line of pairs

// Lines of [channels / 16][rows][pairs]: of a picture with its border from even and from odd pixels, and of dy without.
struct Lines {
  uint32_t *even, *odd, *dy;
  int64_t in_step, out_step;  // numbers from 16 channels to the next
};

void lay_out(const ConvWeightGradient& p, const Lines& lines, const Kernels& kernels) {
  const int64_t pairs = p.width / 2, pitch = pairs + 1, rows = p.batch * (p.height + 2);
  base::parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t y = row % (p.height + 2) - 1, own = row / (p.height + 2) * p.height + y;
      const bool border = y < 0 || y >= p.height;
      const auto pixel = [&](int64_t column) {  // of the padded row
        return border || column < 1 || column > p.width ? nullptr : p.x + (own * p.width + column - 1) * p.in;
      };
      for (int64_t i = 0; i < pitch; ++i) {
        const int64_t at = (row * pitch + i) * kLine, step = lines.in_step / kLine;
        kernels.pairs(pixel(2 * i), pixel(2 * i + 1), p.in, step, lines.even + at);
        if (i < pairs) kernels.pairs(pixel(2 * i + 1), pixel(2 * i + 2), p.in, step, lines.odd + at);
      }
      for (int64_t i = 0; !border && i < pairs; ++i) {
        const uint16_t* from = p.dy + (own * p.width + 2 * i) * p.out;
        kernels.pairs(from, from + p.out, p.out, lines.out_step / kLine, lines.dy + (own * pairs + i) * kLine);
      }
    }
  });
}

}  // namespace

bool has_conv_weight_gradient(const ConvWeightGradient& p) {
  return conv_weight_gradient_kernels().block && p.width > 0 && p.height > 0 && p.batch > 0 && p.width % 2 == 0 &&
         p.in % Kernels::kBlock == 0 && p.out % Kernels::kBlock == 0;
}

void conv_weight_gradient(const ConvWeightGradient& p, float* f32, uint16_t* bf16,
                          const Kernels& kernels) {
  constexpr int64_t kBlock = Kernels::kBlock, kTaps = 9;
  const int64_t pairs = p.width / 2, rows = p.batch * p.height;
  const int64_t in_step = (p.batch * (p.height + 2) * (pairs + 1)) * kLine, out_step = rows * pairs * kLine;
  const int64_t in_numbers = p.in / kLine * in_step, out_numbers = p.out / kLine * out_step;
  thread_local base::Scratch memory;
  auto* numbers = reinterpret_cast<uint32_t*>(memory.at_least(static_cast<size_t>(2 * in_numbers + out_numbers) * 4));
  const Lines lines{numbers, numbers + in_numbers, numbers + 2 * in_numbers, in_step, out_step};
  lay_out(p, lines, kernels);
  const int64_t across = p.in / kBlock;
  base::parallel_tasks(across * (p.out / kBlock), [&](int64_t task) {
    thread_local base::Scratch sums;
    const int64_t in = task % across * kBlock, out = task / across * kBlock, at = (out * p.in + in) * kTaps;
    kernels.block({.even = lines.even + in / kLine * in_step,
                   .odd = lines.odd + in / kLine * in_step,
                   .in_step = in_step,
                   .dy = lines.dy + out / kLine * out_step,
                   .out_step = out_step,
                   .rows = rows,
                   .pairs = pairs,
                   .picture_rows = p.height,
                   .in = p.in,
                   .f32 = f32 ? f32 + at : nullptr,
                   .bf16 = bf16 ? bf16 + at : nullptr,
                   .sums = reinterpret_cast<float*>(sums.at_least(kTaps * kBlock * kBlock * sizeof(float)))});
  });
}

}  // namespace sumi::kernels

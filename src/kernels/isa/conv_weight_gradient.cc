// The copies of kernels/conv_weight_gradient.h: those from AVX-512 VNNI on have contents.
#include "kernels/conv_weight_gradient.h"

#include "kernels/isa/bf16_dot.h"
#include "kernels/isa/bf16_pairs.h"

namespace sumi::kernels::SUMI_ISA {

extern const ConvWeightGradientKernels kConvWeightGradient;

#if !defined(SUMI_BF16)

const ConvWeightGradientKernels kConvWeightGradient = {nullptr, nullptr};

#else

namespace {

using Block = ConvWeightGradientKernels::Block;

constexpr int64_t kTaps = 9, kBlock = ConvWeightGradientKernels::kBlock;
constexpr int kOutputs = 8;  // whose sums stay in registers together

void pairs(const uint16_t* first, const uint16_t* second, int64_t channels, int64_t step, uint32_t* to) {
  static constexpr uint16_t kZeros[16] = {};
  for (int64_t c = 0; c < channels; c += 16, to += 16 * step)
    interleave(first ? first + c : kZeros, second ? second + c : kZeros, to);
}

// Sums of kOutputs outputs from `first` on and all inputs of a tap.
void tap_sums(const Block& b, int64_t tap, int64_t first, float* to) {
  Vec sum[kOutputs][2];
#pragma GCC unroll 8
  for (int r = 0; r < kOutputs; ++r) sum[r][0] = sum[r][1] = Vec::zero();
  const int64_t column = tap % 3, pitch = b.pairs + 1;
  const uint32_t* plane = (column == 1 ? b.odd : b.even) + (tap / 3 * pitch + column / 2) * 16;
  const uint32_t* dy = b.dy + first / 16 * b.out_step + first % 16;
  for (int64_t row = 0; row < b.rows; ++row) {
    const uint32_t* x = plane + (row + row / b.picture_rows * 2) * pitch * 16;
    for (int64_t pair = 0; pair < b.pairs; ++pair, x += 16, dy += 16) {
      const SpreadRows<1, 2 * kOutputs> both(reinterpret_cast<const uint16_t*>(dy), 0);
      add_pairs<kOutputs, 2>(both.at(0), 2, {x, x + b.in_step}, sum);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kOutputs; ++r) {
    sum[r][0].store(to + r * kBlock);
    sum[r][1].store(to + r * kBlock + 16);
  }
}

inline void store_taps(Register taps, float* to) {
#if defined(SUMI_EMULATE_AVX512)
  std::memcpy(to, &taps, kTaps * sizeof(float));
#else
  _mm512_mask_storeu_epi32(to, (1 << kTaps) - 1, taps);
#endif
}

constexpr int64_t kTogether = 8;  // outputs that are turned before they are read again: by then their stores are done
constexpr int64_t kResults = kBlock * kTaps;  // of an output

// The results of kTogether outputs: their sums with those of an input's taps side by side.
void store_outputs(const Block& b, int64_t first) {
  alignas(64) float own[kTogether * kResults];
  for (int64_t r = 0; r < kTogether; ++r)
    for (int64_t half = 0; half < kBlock; half += 16)
      for_columns_of_16<16, kTaps>(
          reinterpret_cast<const uint32_t*>(b.sums + (first + r) * kBlock + half), kBlock * kBlock,
          [&](int64_t input, Register taps) { store_taps(taps, own + r * kResults + (half + input) * kTaps); });
  for (int64_t r = 0; r < kTogether; ++r) {
    const int64_t to = (first + r) * b.in * kTaps;
    if (b.bf16) store_bf16(own + r * kResults, kResults, b.bf16 + to);
    else std::memcpy(b.f32 + to, own + r * kResults, kResults * sizeof(float));
  }
}

void block(const Block& b) {
  for (int64_t tap = 0; tap < kTaps; ++tap)
    for (int64_t first = 0; first < kBlock; first += kOutputs)
      tap_sums(b, tap, first, b.sums + (tap * kBlock + first) * kBlock);
  for (int64_t first = 0; first < kBlock; first += kTogether) store_outputs(b, first);
}

}  // namespace

const ConvWeightGradientKernels kConvWeightGradient = {pairs, block};

#endif

}  // namespace sumi::kernels::SUMI_ISA

// Panels of picture products laid out from plain weights as they are needed, for training: weights that change lie nowhere
// twice, and those of the gradient by the picture are the same numbers read in another order.
#pragma once

#include "kernels/isa/bf16_pairs.h"
#include "kernels/picture_tiles.h"

#if defined(SUMI_BF16)
namespace sumi::kernels::SUMI_ISA {
namespace plain_panels {

constexpr int64_t kHalf = 16 * kLineBytes;  // bytes of 16 outputs' weights of a chunk and tap
constexpr int64_t kDepth = 32;              // inputs in a chunk

inline void to_bf16(const float* x, int64_t count, uint16_t* to) { store_bf16(x, count, to); }
inline void to_bf16(const uint16_t* x, int64_t count, uint16_t* to) { std::memcpy(to, x, static_cast<size_t>(count) * 2); }

inline std::byte* place(std::byte* to, int64_t taps, int64_t chunk, int64_t tap, int64_t half, int64_t pair) {
  return to + ((chunk * taps + tap) * 2 + half) * kHalf + pair * kLineBytes;
}

// Asks for `count` numbers that the next chunk begins with.
template <class Number>
inline void ask_for(const Number* from, int64_t count) {
  const auto* bytes = reinterpret_cast<const std::byte*>(from);
  for (int64_t i = 0; i < count * static_cast<int64_t>(sizeof(Number)); i += kLineBytes) prefetch(bytes + i);
}

// A chunk of 16 outputs whose weights lie one row after the other, the taps of an input together.
template <int64_t kTaps, class Number>
void chunk_of(const Number* from, int64_t row, int64_t chunk, int64_t half, std::byte* to) {
  alignas(64) uint16_t rows[16 * kDepth * kTaps];
  for (int64_t r = 0; r < 16; ++r) {
    to_bf16(from + r * row, kDepth * kTaps, rows + r * kDepth * kTaps);
    ask_for(from + r * row + kDepth * kTaps, kDepth * kTaps);
  }
  alignas(64) uint32_t pairs[16 * kTaps * 16];  // numbers 2 d and 2 d + 1 of all rows are column d
  for (int64_t square = 0; square < kTaps; ++square)
    transpose(reinterpret_cast<const uint32_t*>(rows) + 16 * square, 16 * kTaps, pairs + square * 256);
  const auto column = [&](int64_t d) { return load_bytes(pairs + 16 * d); };
  for (int64_t pair = 0; pair < 16; ++pair) {
    if constexpr (kTaps == 1) {
      store_bytes(place(to, 1, chunk, 0, half, pair), column(pair));
    } else {
      for (int64_t tap = 0; tap < kTaps; ++tap) {
        const int64_t first = (2 * pair * kTaps + tap) / 2, second = ((2 * pair + 1) * kTaps + tap) / 2;
        store_bytes(place(to, kTaps, chunk, tap, half, pair), tap % 2 == 0
                                                                  ? lower_and_upper(column(first), column(second))
                                                                  : upper_and_lower(column(first), column(second)));
      }
    }
  }
}

// The same of the gradient by the picture: its outputs are the convolution's inputs, its taps begin with the last.
template <int64_t kTaps, class Number>
void turned_chunk_of(const Number* from, int64_t row, int64_t chunk, int64_t half, std::byte* to) {
  for (int64_t pair = 0; pair < 16; ++pair, from += 2 * row) {
    uint32_t* own = reinterpret_cast<uint32_t*>(place(to, kTaps, chunk, 0, half, pair));
    ask_for(from + kDepth * row, 16 * kTaps);
    ask_for(from + (kDepth + 1) * row, 16 * kTaps);
    if constexpr (kTaps == 1) {
      interleave(from, from + row, own);
    } else {
      alignas(64) uint32_t both[16 * kTaps + 16];  // a little more is read than there is
      for (int64_t i = 0; i < kTaps; ++i) interleave(from + 16 * i, from + row + 16 * i, both + 16 * i);
      for_columns_of_16<kTaps>(both, kTaps, [&](int64_t tap, Register values) {
        store_bytes(place(to, kTaps, chunk, kTaps - 1 - tap, half, pair), values);
      });
    }
  }
}

template <int64_t kTaps, class Number>
void panel_of(const PictureTileKernels::PlainPanel& p, const Number* weights) {
  const PlainTileWeights& w = p.weights;
  const int64_t row = w.in * kTaps;
  for (int64_t c = 0; c < p.chunks; ++c)
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t outs = p.panel * kTileOuts + half * 16, ins = (p.first_chunk + c) * kDepth;
      if (w.turned)
        turned_chunk_of<kTaps>(weights + ins * row + outs * kTaps, row, c, half, p.to);
      else
        chunk_of<kTaps>(weights + outs * row + ins * kTaps, row, c, half, p.to);
    }
}

inline void panel(const PictureTileKernels::PlainPanel& p) {
  const auto run = [&](const auto* weights) {
    p.taps == 1 ? panel_of<1>(p, weights) : panel_of<9>(p, weights);
  };
  if (p.weights.bf16) run(static_cast<const uint16_t*>(p.weights.data));
  else run(static_cast<const float*>(p.weights.data));
}

}  // namespace plain_panels
}  // namespace sumi::kernels::SUMI_ISA
#endif

// Factors of products (kernels/bf16_product.h) as tiles and instructions for pairs of bf16 want them: in squares of 16 rows
// or columns and 32 k.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/bf16_product.h"
#include "kernels/isa/bf16_pairs.h"

#if defined(SUMI_BF16_DOT)

namespace sumi::kernels::SUMI_ISA {
namespace {

using PackedNumber = uint16_t;
constexpr int64_t kRowStrip = kProductStrip;
constexpr int64_t kTile = kProductPiece / 2;  // elements

inline void narrow(const float* x, int64_t count, uint16_t* to) { bf16_from_floats(x, count, to); }
inline void narrow(const uint16_t* x, int64_t count, uint16_t* to) {
  if (count == kProductStep) store_bytes(to, load_bytes(x));
  else std::memcpy(to, x, static_cast<size_t>(count) * 2);
}

// Rows with k one after the other: strips [begin, end).
template <class Number>
void pack_rows(const ProductFactor& f, const Number* x, bool as_b, int64_t begin, int64_t end, uint16_t* out) {
  const int64_t steps = (f.k + kProductStep - 1) / kProductStep;
  alignas(64) uint16_t rows[kTile];
  for (int64_t strip = begin; strip < end; ++strip)
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t first = strip * kProductStrip + 16 * half, count = std::clamp<int64_t>(f.outer - first, 0, 16);
      for (int64_t step = 0; step < steps; ++step) {
        uint16_t* to = out + (strip * steps + step) * kProductPiece + half * kTile;
        uint16_t* tile = as_b ? rows : to;
        const int64_t at = step * kProductStep, width = std::min(kProductStep, f.k - at);
        if (count < 16 || width < kProductStep) std::memset(tile, 0, 2 * kTile);
        for (int64_t r = 0; r < count; ++r) narrow(x + (first + r) * f.stride + at, width, tile + r * kProductStep);
        if (as_b) transpose(reinterpret_cast<const uint32_t*>(rows), 16, reinterpret_cast<uint32_t*>(to));
      }
    }
}

// The other orientation: steps [begin, end).
template <class Number>
void pack_columns(const ProductFactor& f, const Number* x, bool as_b, int64_t begin, int64_t end, uint16_t* out) {
  const int64_t steps = (f.k + kProductStep - 1) / kProductStep;
  alignas(64) uint32_t pairs[kTile / 2];
  for (int64_t step = begin; step < end; ++step) {
    const int64_t at = step * kProductStep, depth = std::min(kProductStep, f.k - at);
    const auto tile_of = [&](int64_t first) {
      return out + (first / kProductStrip * steps + step) * kProductPiece + first % kProductStrip / 16 * kTile;
    };
    const auto lay_out = [&](int64_t first, int64_t p, uint32_t* tile) {  // k p and p + 1 of 16 columns
      const int64_t count = std::min<int64_t>(16, f.outer - first);
      const Number* from = x + at * f.stride + first;
      if (count == 16 && p + 2 <= depth) return interleave(from + p * f.stride, from + (p + 1) * f.stride, tile + 8 * p);
      Number edge[2][16] = {};
      for (int64_t i = 0; i < 2 && p + i < depth; ++i) std::copy_n(from + (p + i) * f.stride, count, edge[i]);
      interleave(edge[0], edge[1], tile + 8 * p);
    };
    if (as_b) {  // row after row, as they lie in memory
      for (int64_t p = 0; p < kProductStep; p += 2)
        for (int64_t first = 0; first < f.outer; first += 16)
          lay_out(first, p, reinterpret_cast<uint32_t*>(tile_of(first)));
    } else {
      for (int64_t first = 0; first < f.outer; first += 16) {
        for (int64_t p = 0; p < kProductStep; p += 2) lay_out(first, p, pairs);
        transpose(pairs, 16, reinterpret_cast<uint32_t*>(tile_of(first)));
      }
    }
    const int64_t last = (f.outer - 1) / 16 * 16;
    if (last % kProductStrip == 0) std::memset(tile_of(last) + kTile, 0, 2 * kTile);
  }
}

void pack(const ProductFactor& f, bool as_b, int64_t begin, int64_t end, std::byte* to) {
  auto* out = reinterpret_cast<uint16_t*>(to);
  const auto run = [&](const auto* x) {
    if (f.outer_contiguous) pack_columns(f, x, as_b, begin, end, out);
    else pack_rows(f, x, as_b, begin, end, out);
  };
  if (f.f32) run(f.f32);
  else run(f.bf16);
}

}  // namespace
}  // namespace sumi::kernels::SUMI_ISA

#endif

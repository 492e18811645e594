// Factors of products (kernels/bf16_product.h) where pairs of bf16 are multiplied as floats: rounded numbers, in
// strips of 12 rows, those of a row together for each step of 32 k, and of 32 columns, those of a k together.
#pragma once

#include <algorithm>

#include "kernels/bf16_product.h"
#include "kernels/isa/bf16_pairs.h"

#if defined(SUMI_BF16) && !defined(SUMI_AMX) && !defined(SUMI_BF16_DOT)

namespace sumi::kernels::SUMI_ISA {
namespace {

using PackedNumber = float;
constexpr int64_t kRowStrip = 12;
constexpr int64_t kLanes = Vec::kWidth;

inline int64_t padded_depth(const ProductFactor& f) { return Bf16ProductKernels::steps(f.k) * kProductStep; }

// What is asked for early, of a row and of rows: products of training come from many matrices that no cache holds.
constexpr int64_t kAhead = 128, kRowsAhead = 24;

// The first `count` numbers, rounded, and zeros.
inline Vec rounded(const float* x, int64_t count) {
  return rounded_to_bf16(count < kLanes ? load_partial(x, count) : Vec::load(x));
}
inline Vec rounded(const uint16_t* x, int64_t count) {
  if (count >= kLanes) return load_bf16(x);
  uint16_t some[kLanes] = {};
  std::copy_n(x, count, some);
  return load_bf16(some);
}

// 16 of row r of x, k [k, k + 16), and zeros beyond the ends.
template <class Number>
inline Vec row_part(const ProductFactor& f, const Number* x, int64_t r, int64_t k) {
  return r < f.outer && k < f.k ? rounded(x + r * f.stride + k, f.k - k) : Vec::zero();
}

// Rows of a with k one after the other: strips [begin, end).
template <class Number>
void pack_rows_of_a(const ProductFactor& f, const Number* x, int64_t begin, int64_t end, float* out) {
  const int64_t depth = padded_depth(f);
  for (int64_t strip = begin; strip < end; ++strip) {
    float* to = out + strip * kRowStrip * depth;
    for (int64_t k = 0; k < depth; k += kProductStep)
      for (int64_t row = strip * kRowStrip; row < (strip + 1) * kRowStrip; ++row) {
        const bool next = k + kAhead >= depth;
        const Number* ahead = x + (next ? row + kRowStrip : row) * f.stride + k + kAhead - (next ? depth : 0);
        for (int64_t i = 0; i < kProductStep; i += kLanes, to += kLanes) {
          prefetch(ahead + i);
          row_part(f, x, row, k + i).store(to);
        }
      }
  }
}

// Columns [row, row + 16) of b with k one after the other, k [k, k + 32) of them.
template <class Number>
inline void turn_rows(const ProductFactor& f, const Number* x, int64_t row, int64_t k, float* to) {
  if constexpr (sizeof(Number) == 2) {
    if (row + kLanes <= f.outer && k + kProductStep <= f.k && f.stride % 2 == 0) {  // pairs of k are turned together
      const Number* from = x + row * f.stride + k;
      for (int64_t r = 0; r < kLanes; ++r) prefetch(from + r * f.stride + kAhead);
      return for_columns_of_16<kLanes>(reinterpret_cast<const uint32_t*>(from), f.stride / 2, [&](int64_t pair, Register both) {
        even_of_pairs(&both).store(to + 2 * pair * kProductStrip);
        odd_of_pairs(&both).store(to + (2 * pair + 1) * kProductStrip);
      });
    }
  }
  alignas(64) float square[kLanes * kLanes];
  for (int64_t i = 0; i < kProductStep; i += kLanes) {
    for (int64_t r = 0; r < kLanes; ++r) {
      prefetch(x + (row + r) * f.stride + k + i + kAhead);
      row_part(f, x, row + r, k + i).store(square + r * kLanes);
    }
    for_columns_of_16<kLanes>(reinterpret_cast<const uint32_t*>(square), kLanes, [&](int64_t column, Register numbers) {
      store_bytes(to + (i + column) * kProductStrip, numbers);
    });
  }
}

// All of them: strips [begin, end).
template <class Number>
void pack_rows_of_b(const ProductFactor& f, const Number* x, int64_t begin, int64_t end, float* out) {
  const int64_t depth = padded_depth(f);
  for (int64_t strip = begin; strip < end; ++strip)
    for (int64_t k = 0; k < depth; k += kProductStep)
      for (int64_t i = 0; i < kProductStrip; i += kLanes)
        turn_rows(f, x, strip * kProductStrip + i, k, out + (strip * depth + k) * kProductStrip + i);
}

// The other orientation: steps [begin, end).
template <class Number>
void pack_columns_of_a(const ProductFactor& f, const Number* x, int64_t begin, int64_t end, float* out) {
  const int64_t depth = padded_depth(f);
  alignas(64) float square[kLanes * kLanes];
  for (int64_t k = begin * kProductStep; k < end * kProductStep; k += kLanes)
    for (int64_t r = 0; r < f.outer; r += kRowStrip) {
      for (int64_t i = 0; i < kLanes; ++i)
        (k + i < f.k ? rounded(x + (k + i) * f.stride + r, f.outer - r) : Vec::zero()).store(square + i * kLanes);
      float* to = out + r * depth + k / kProductStep * kProductStep * kRowStrip + k % kProductStep;
      for_columns_of_16<kRowStrip>(reinterpret_cast<const uint32_t*>(square), kLanes, [&](int64_t row, Register numbers) {
        store_bytes(to + row * kProductStep, numbers);
      });
    }
}

template <class Number>
void pack_columns_of_b(const ProductFactor& f, const Number* x, int64_t begin, int64_t end, float* out) {
  const int64_t depth = padded_depth(f);
  for (int64_t column = 0; column < f.outer; column += kProductStrip)
    for (int64_t k = begin * kProductStep; k < end * kProductStep; ++k)
      for (int64_t i = 0; i < kProductStrip; i += kLanes) {
        const int64_t at = column + i;
        prefetch(x + (k + kRowsAhead) * f.stride + at);
        (k < f.k && at < f.outer ? rounded(x + k * f.stride + at, f.outer - at) : Vec::zero())
            .store(out + column * depth + k * kProductStrip + i);
      }
}

void pack(const ProductFactor& f, bool as_b, int64_t begin, int64_t end, std::byte* to) {
  auto* out = reinterpret_cast<float*>(to);
  const auto run = [&](const auto* x) {
    if (f.outer_contiguous) as_b ? pack_columns_of_b(f, x, begin, end, out) : pack_columns_of_a(f, x, begin, end, out);
    else as_b ? pack_rows_of_b(f, x, begin, end, out) : pack_rows_of_a(f, x, begin, end, out);
  };
  if (f.f32) run(f.f32);
  else run(f.bf16);
}

}  // namespace
}  // namespace sumi::kernels::SUMI_ISA

#endif

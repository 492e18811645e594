// Large products of float matrices in bf16 by the processor's tiles (AMX) or its vectors (from AVX-512 VNNI on), for training:
// operands are rounded and laid out in tiles as they are read, in either orientation, and summed in f32.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

// A factor with `outer` rows (of a) or columns (of b) and k numbers each to reduce over: number p of row i is element
// i * stride + p, or p * stride + i with outer_contiguous.
struct ProductFactor {
  const float* f32 = nullptr;  // one of the two
  const uint16_t* bf16 = nullptr;
  bool outer_contiguous = false;
  int64_t outer = 0, k = 0, stride = 0;
};

inline constexpr int64_t kProductStrip = 32, kProductStep = 32;  // rows or columns, and k, of a piece
inline constexpr int64_t kProductPiece = kProductStrip * kProductStep;  // its elements

struct Bf16ProductKernels {
  // Pieces of the rounded factor: piece (strip, step) at out + (strip * steps + step) * kProductPiece, zeros beyond the
  // ends. [begin, end) counts strips, or steps with outer_contiguous. as_b: in the order that a product's second factor
  // has. Null at lower levels.
  void (*pack)(const ProductFactor& factor, bool as_b, int64_t begin, int64_t end, uint16_t* out);
  // c [m, n] of packed factors, its rows ldc apart: strips of rows [row_begin, row_end) and of columns. Each element is
  // (accumulate ? c : 0) + its products in rising order of k.
  struct Product {
    const uint16_t *a, *b;
    int64_t m, n, steps;
    float* c;
    int64_t ldc;
    bool accumulate;
  };
  void (*multiply)(const Product& product, int64_t row_begin, int64_t row_end, int64_t column_begin,
                   int64_t column_end);
};

const Bf16ProductKernels& bf16_product_kernels();  // for base::active_isa()
const Bf16ProductKernels& bf16_product_kernels_for(base::Isa isa);

// Whether bf16_product is for this processor.
bool has_bf16_product();

// c [a.outer, b.outer] = a b + (accumulate ? c : 0). a.k = b.k. Uses all threads, whose number does not change results.
void bf16_product(const ProductFactor& a, const ProductFactor& b, float* c, int64_t ldc, bool accumulate);

// The same rounded to bf16, c [a.outer, b.outer]. a.k is at most kMostRoundedDepth.
inline constexpr int64_t kMostRoundedDepth = 8192;
void bf16_product_rounded(const ProductFactor& a, const ProductFactor& b, uint16_t* c);

}  // namespace sumi::kernels

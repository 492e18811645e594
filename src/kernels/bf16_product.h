// Large products of float matrices in bf16 by the processor's tiles (AMX) or its vectors (from AVX-512 VNNI on), for training:
// operands are rounded and laid out as those want them when they are read, in either orientation, and summed in f32.
#pragma once

#include <cstddef>
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

inline constexpr int64_t kProductStrip = 32, kProductStep = 32;  // columns, and k, of a piece of b
inline constexpr int64_t kProductPiece = kProductStrip * kProductStep;  // its elements

struct Bf16ProductKernels {
  // A packed factor is strips of `row_strip` rows of a, or of kProductStrip columns of b, in turn in pieces of kProductStep
  // k, of numbers of `number_bytes`.
  int64_t row_strip = 0, number_bytes = 0;
  // Whether products are so fast that a factor should be laid out once for all threads, whatever the caches.
  bool shares_factors = false;
  // The rounded factor, with zeros beyond the ends. [begin, end) counts strips, or steps with outer_contiguous. as_b: as
  // a product's second factor. Null at lower levels.
  void (*pack)(const ProductFactor& factor, bool as_b, int64_t begin, int64_t end, std::byte* out) = nullptr;
  // c [m, n] of packed factors, its rows ldc apart: strips of rows [row_begin, row_end) and of columns. Each element is
  // (accumulate ? c : 0) + its products in rising order of k.
  struct Product {
    const std::byte *a, *b;
    int64_t m, n, steps;
    float* c;
    int64_t ldc;
    bool accumulate;
  };
  void (*multiply)(const Product& product, int64_t row_begin, int64_t row_end, int64_t column_begin,
                   int64_t column_end) = nullptr;

  int64_t strip(bool as_b) const { return as_b ? kProductStrip : row_strip; }
  int64_t strips(int64_t outer, bool as_b) const { return (outer + strip(as_b) - 1) / strip(as_b); }
  static int64_t steps(int64_t k) { return (k + kProductStep - 1) / kProductStep; }
  // What `pack` counts, and the bytes it writes.
  int64_t packed_parts(const ProductFactor& f, bool as_b) const {
    return f.outer_contiguous ? steps(f.k) : strips(f.outer, as_b);
  }
  int64_t packed_bytes(int64_t outer, int64_t k, bool as_b) const {
    return strips(outer, as_b) * strip(as_b) * steps(k) * kProductStep * number_bytes;
  }
};

const Bf16ProductKernels& bf16_product_kernels();  // for base::active_isa()
const Bf16ProductKernels& bf16_product_kernels_for(base::Isa isa);

// Whether bf16_product is for this processor.
bool has_bf16_product();

// c [a.outer, b.outer] = a b + (accumulate ? c : 0). a.k = b.k; no size is 0. Uses all threads, whose number does not change
// results.
void bf16_product(const ProductFactor& a, const ProductFactor& b, float* c, int64_t ldc, bool accumulate);

// The same rounded to bf16, c [a.outer, b.outer]. a.k is at most kMostRoundedDepth.
inline constexpr int64_t kMostRoundedDepth = 8192;
void bf16_product_rounded(const ProductFactor& a, const ProductFactor& b, uint16_t* c);

}  // namespace sumi::kernels

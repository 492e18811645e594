#include "kernels/bf16_product.h"

#include <algorithm>

#include "base/memory.h"
#include "base/round_up.h"
#include "base/threads.h"
#include "kernels/elementwise.h"
#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(Bf16ProductKernels, kBf16Product)

const Bf16ProductKernels& bf16_product_kernels_for(base::Isa isa) {
  return SUMI_SELECT_ISA_WITH_TILES(kBf16Product, isa);
}

const Bf16ProductKernels& bf16_product_kernels() {
  static const Bf16ProductKernels& kernels = bf16_product_kernels_for(base::active_isa());
  return kernels;
}

namespace {

constexpr int64_t kMostBlock = 8;                  // strips of rows and of columns that a thread multiplies together
constexpr int64_t kMostPacked = int64_t{6} << 20;  // elements of a factor that are laid out at a time
constexpr int64_t kMostDepth = kMostRoundedDepth;  // and of K

// Rows or columns [begin, begin + outer) of a factor, and k [k_begin, k_begin + k).
ProductFactor part(const ProductFactor& factor, int64_t begin, int64_t outer, int64_t k_begin, int64_t k) {
  ProductFactor p = factor;
  p.outer = outer;
  p.k = k;
  const int64_t offset =
      factor.outer_contiguous ? k_begin * factor.stride + begin : begin * factor.stride + k_begin;
  if (p.f32) p.f32 += offset;
  else p.bf16 += offset;
  return p;
}

uint16_t* packed(const ProductFactor& factor, bool as_b, base::Scratch& memory) {
  const int64_t strips = base::round_up(factor.outer, kProductStrip) / kProductStrip;
  const int64_t steps = base::round_up(factor.k, kProductStep) / kProductStep;
  const auto bytes = static_cast<size_t>(strips * steps * kProductPiece * 2);
  auto* out = reinterpret_cast<uint16_t*>(memory.at_least(bytes));
  const int64_t count = factor.outer_contiguous ? steps : strips;
  base::parallel_tasks(count, [&](int64_t i) { bf16_product_kernels().pack(factor, as_b, i, i + 1, out); });
  return out;
}

// body(first strip of rows, end, first of columns, end) for blocks of c as large as still give each thread some.
template <class Body>
void for_blocks(int64_t m, int64_t n, const Body& body) {
  const int64_t rows = base::round_up(m, kProductStrip) / kProductStrip;
  const int64_t columns = base::round_up(n, kProductStrip) / kProductStrip;
  int64_t block = kMostBlock;
  const auto blocks = [&](int64_t strips) { return (strips + block - 1) / block; };
  while (block > 1 && blocks(rows) * blocks(columns) < 6 * base::num_threads()) block /= 2;
  const int64_t down = blocks(rows);
  base::parallel_tasks(down * blocks(columns), [&](int64_t task) {
    const int64_t row = task % down * block, column = task / down * block;
    body(row, std::min(rows, row + block), column, std::min(columns, column + block));
  });
}

void multiply(const Bf16ProductKernels::Product& p) {
  for_blocks(p.m, p.n, [&](int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
    bf16_product_kernels().multiply(p, row, row_end, column, column_end);
  });
}

// Each block's sums are rounded while they are in the second cache.
void multiply_rounded(Bf16ProductKernels::Product p, uint16_t* c, int64_t ldc) {
  constexpr int64_t kSide = kMostBlock * kProductStrip;
  for_blocks(p.m, p.n, [&](int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
    thread_local base::Scratch memory;
    auto* sums = reinterpret_cast<float*>(memory.at_least(kSide * kSide * sizeof(float)));
    Bf16ProductKernels::Product own = p;
    const int64_t first = row * kProductStrip, left = column * kProductStrip;
    own.c = sums - first * kSide - left;
    own.ldc = kSide;
    bf16_product_kernels().multiply(own, row, row_end, column, column_end);
    const int64_t rows = std::min(p.m, row_end * kProductStrip) - first;
    const int64_t columns = std::min(p.n, column_end * kProductStrip) - left;
    for (int64_t r = 0; r < rows; ++r)
      elementwise_kernels().narrow(sums + r * kSide, c + (first + r) * ldc + left, columns);
  });
}

// multiply(product of the packed pieces, row of c, column of c) for all pieces of a product over k [k, k + depth).
template <class Multiply>
void for_pieces(const ProductFactor& a, const ProductFactor& b, int64_t k, int64_t depth, const Multiply& multiply) {
  thread_local base::Scratch memory_a, memory_b;
  const int64_t m = a.outer, n = b.outer, padded = base::round_up(depth, kProductStep);
  const int64_t most = std::max(kProductStrip, kMostPacked / padded / kProductStrip * kProductStrip);
  const uint16_t* packed_b = nullptr;
  for (int64_t row = 0; row < m; row += most) {
    const int64_t rows = std::min(most, m - row);
    const uint16_t* packed_a = packed(part(a, row, rows, k, depth), false, memory_a);
    for (int64_t column = 0; column < n; column += most) {
      const int64_t columns = std::min(most, n - column);
      if (!packed_b || columns < n) packed_b = packed(part(b, column, columns, k, depth), true, memory_b);
      multiply({packed_a, packed_b, rows, columns, padded / kProductStep, nullptr, 0, false}, row, column);
    }
  }
}

}  // namespace

bool has_bf16_product() { return bf16_product_kernels().multiply != nullptr; }

void bf16_product(const ProductFactor& a, const ProductFactor& b, float* c, int64_t ldc, bool accumulate) {
  for (int64_t k = 0; k < a.k; k += kMostDepth)
    for_pieces(a, b, k, std::min(kMostDepth, a.k - k), [&](Bf16ProductKernels::Product p, int64_t row, int64_t column) {
      p.c = c + row * ldc + column;
      p.ldc = ldc;
      p.accumulate = accumulate || k > 0;
      multiply(p);
    });
}

void bf16_product_rounded(const ProductFactor& a, const ProductFactor& b, uint16_t* c) {
  const int64_t ldc = b.outer;
  for_pieces(a, b, 0, a.k, [&](const Bf16ProductKernels::Product& p, int64_t row, int64_t column) {
    multiply_rounded(p, c + row * ldc + column, ldc);
  });
}

}  // namespace sumi::kernels

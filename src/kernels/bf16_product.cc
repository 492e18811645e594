#include "kernels/bf16_product.h"

#include <algorithm>

#include "base/memory.h"
#include "base/threads.h"
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

constexpr int64_t kMostPacked = int64_t{6} << 20;  // elements of a factor that are laid out at a time
constexpr int64_t kMostDepth = 8192;               // and of K

int64_t rounded_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

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
  const int64_t strips = rounded_up(factor.outer, kProductStrip) / kProductStrip;
  const int64_t steps = rounded_up(factor.k, kProductStep) / kProductStep;
  const auto bytes = static_cast<size_t>(strips * steps * kProductPiece * 2);
  auto* out = reinterpret_cast<uint16_t*>(memory.at_least(bytes));
  const int64_t count = factor.outer_contiguous ? steps : strips;
  base::parallel_tasks(count, [&](int64_t i) { bf16_product_kernels().pack(factor, as_b, i, i + 1, out); });
  return out;
}

// Blocks of c as large as still give each thread some.
void multiply(const Bf16ProductKernels::Product& p) {
  const int64_t rows = rounded_up(p.m, kProductStrip) / kProductStrip;
  const int64_t columns = rounded_up(p.n, kProductStrip) / kProductStrip;
  int64_t block = 8;
  const auto blocks = [&](int64_t strips) { return (strips + block - 1) / block; };
  while (block > 1 && blocks(rows) * blocks(columns) < 6 * base::num_threads()) block /= 2;
  const int64_t down = blocks(rows);
  base::parallel_tasks(down * blocks(columns), [&](int64_t task) {
    const int64_t row = task % down * block, column = task / down * block;
    bf16_product_kernels().multiply(p, row, std::min(rows, row + block), column, std::min(columns, column + block));
  });
}

}  // namespace

bool has_bf16_product() { return bf16_product_kernels().multiply != nullptr; }

void bf16_product(const ProductFactor& a, const ProductFactor& b, float* c, int64_t ldc, bool accumulate) {
  thread_local base::Scratch memory_a, memory_b;
  const int64_t m = a.outer, n = b.outer;
  for (int64_t k = 0; k < a.k; k += kMostDepth) {
    const int64_t depth = std::min(kMostDepth, a.k - k), padded = rounded_up(depth, kProductStep);
    const int64_t most = std::max(kProductStrip, kMostPacked / padded / kProductStrip * kProductStrip);
    const uint16_t* packed_b = nullptr;
    for (int64_t row = 0; row < m; row += most) {
      const int64_t rows = std::min(most, m - row);
      const uint16_t* packed_a = packed(part(a, row, rows, k, depth), false, memory_a);
      for (int64_t column = 0; column < n; column += most) {
        const int64_t columns = std::min(most, n - column);
        if (!packed_b || columns < n) packed_b = packed(part(b, column, columns, k, depth), true, memory_b);
        multiply({packed_a, packed_b, rows, columns, padded / kProductStep, c + row * ldc + column, ldc,
                  accumulate || k > 0});
      }
    }
  }
}

}  // namespace sumi::kernels

#include "kernels/bf16_product.h"

#include <algorithm>
#include <atomic>

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

constexpr int64_t kMostSide = 256;                  // about as many rows and columns a thread multiplies together
constexpr int64_t kMostPacked = int64_t{12} << 20;  // bytes of a factor that are laid out at a time
constexpr int64_t kMostDepth = kMostRoundedDepth;   // and of K

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

const std::byte* packed(const ProductFactor& factor, bool as_b, base::Scratch& memory) {
  const Bf16ProductKernels& kernels = bf16_product_kernels();
  std::byte* out = memory.at_least(static_cast<size_t>(kernels.packed_bytes(factor.outer, factor.k, as_b)));
  base::parallel_tasks(kernels.packed_parts(factor, as_b),
                       [&](int64_t i) { kernels.pack(factor, as_b, i, i + 1, out); });
  return out;
}

// body(first strip of rows, end, first of columns, end) for blocks of c as large as still give each thread some.
template <class Body>
void for_blocks(int64_t m, int64_t n, const Body& body) {
  const Bf16ProductKernels& kernels = bf16_product_kernels();
  const int64_t rows = kernels.strips(m, false), columns = kernels.strips(n, true);
  int64_t high = kernels.strips(kMostSide, false), wide = kernels.strips(kMostSide, true);
  const auto blocks = [](int64_t strips, int64_t block) { return (strips + block - 1) / block; };
  while (wide > 1 && blocks(rows, high) * blocks(columns, wide) < 6 * base::num_threads()) high /= 2, wide /= 2;
  const int64_t down = blocks(rows, high);
  base::parallel_tasks(down * blocks(columns, wide), [&](int64_t task) {
    const int64_t row = task % down * high, column = task / down * wide;
    body(row, std::min(rows, row + high), column, std::min(columns, column + wide));
  });
}

void multiply(const Bf16ProductKernels::Product& p) {
  for_blocks(p.m, p.n, [&](int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
    bf16_product_kernels().multiply(p, row, row_end, column, column_end);
  });
}

// Each block's sums are rounded while they are in the second cache.
void multiply_rounded(Bf16ProductKernels::Product p, uint16_t* c, int64_t ldc) {
  const Bf16ProductKernels& kernels = bf16_product_kernels();
  const int64_t strip = kernels.row_strip, most = kernels.strips(kMostSide, false) * strip;
  for_blocks(p.m, p.n, [&](int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
    thread_local base::Scratch memory;
    auto* sums = reinterpret_cast<float*>(memory.at_least(static_cast<size_t>(most * kMostSide) * sizeof(float)));
    Bf16ProductKernels::Product own = p;
    const int64_t first = row * strip, left = column * kProductStrip;
    own.c = sums - first * kMostSide - left;
    own.ldc = kMostSide;
    kernels.multiply(own, row, row_end, column, column_end);
    const int64_t rows = std::min(p.m, row_end * strip) - first;
    const int64_t columns = std::min(p.n, column_end * kProductStrip) - left;
    for (int64_t r = 0; r < rows; ++r)
      elementwise_kernels().narrow(sums + r * kMostSide, c + (first + r) * ldc + left, columns);
  });
}

// multiply(product of the packed pieces, row of c, column of c) for all pieces of a product over k [k, k + depth).
template <class Multiply>
void for_pieces(const ProductFactor& a, const ProductFactor& b, int64_t k, int64_t depth, const Multiply& multiply) {
  thread_local base::Scratch memory_a, memory_b;
  const int64_t m = a.outer, n = b.outer, padded = base::round_up(depth, kProductStep);
  const int64_t row_bytes = padded * bf16_product_kernels().number_bytes;
  const int64_t most = std::max(kProductStrip, kMostPacked / row_bytes / kProductStrip * kProductStrip);
  const std::byte* packed_b = nullptr;
  for (int64_t row = 0; row < m; row += most) {
    const int64_t rows = std::min(most, m - row);
    const std::byte* packed_a = packed(part(a, row, rows, k, depth), false, memory_a);
    for (int64_t column = 0; column < n; column += most) {
      const int64_t columns = std::min(most, n - column);
      if (!packed_b || columns < n) packed_b = packed(part(b, column, columns, k, depth), true, memory_b);
      multiply({packed_a, packed_b, rows, columns, padded / kProductStep, nullptr, 0, false}, row, column);
    }
  }
}

// Where a has few rows: threads have rows and columns of c of their own and lay out what they need themselves, so that
// it is in their own caches.
constexpr int64_t kFewRows = 256;
constexpr int64_t kFewRowsBytes = 3 << 10;  // of a packed row: all of them and a strip of b stay in the second cache

// Into how many blocks of rows c is cut, so that threads lay out least.
int64_t row_blocks(int64_t m, int64_t n) {
  const int64_t threads = base::num_threads();
  int64_t best = 1;
  for (int64_t blocks = 2; blocks <= threads; ++blocks)
    if (threads % blocks == 0 && m / blocks + n * blocks / threads < m / best + n * best / threads) best = blocks;
  return best;
}

// A thread's rows of a, packed for one product.
class OwnRows {
 public:
  const std::byte* packed(uint64_t product, const ProductFactor& rows, int64_t first) {
    if (product_ != product || first_ != first) bytes_ = kernels::packed(rows, false, memory_);
    product_ = product;
    first_ = first;
    return bytes_;
  }

 private:
  base::Scratch memory_;
  const std::byte* bytes_ = nullptr;
  uint64_t product_ = 0;
  int64_t first_ = 0;
};

void product_of_few_rows(const ProductFactor& a, const ProductFactor& b, float* c, int64_t ldc, bool accumulate) {
  static std::atomic<uint64_t> products{0};
  const Bf16ProductKernels& kernels = bf16_product_kernels();
  const int64_t wanted = row_blocks(a.outer, b.outer), strips = kernels.strips(b.outer, true);
  const int64_t rows = base::round_up((a.outer + wanted - 1) / wanted, kernels.row_strip);
  const int64_t blocks = (a.outer + rows - 1) / rows;  // fewer than wanted where strips are coarse
  const int64_t most_depth = kFewRowsBytes / kernels.number_bytes, stretches = (a.k + most_depth - 1) / most_depth;
  const int64_t stretch = base::round_up((a.k + stretches - 1) / stretches, kProductStep);
  for (int64_t k = 0; k < a.k; k += stretch) {
    const int64_t depth = std::min(stretch, a.k - k);
    const uint64_t product = ++products;
    base::parallel_stream(blocks * strips, 1, 1, [&](int64_t begin, int64_t end, int64_t) {
      thread_local OwnRows own_rows;
      thread_local base::Scratch memory;
      std::byte* packed_b = memory.at_least(static_cast<size_t>(kernels.packed_bytes(kProductStrip, depth, true)));
      for (int64_t task = begin; task < end; ++task) {
        const int64_t row = task / strips * rows, column = task % strips * kProductStrip;
        const int64_t m = std::min(rows, a.outer - row), n = std::min(kProductStrip, b.outer - column);
        const std::byte* packed_a = own_rows.packed(product, part(a, row, m, k, depth), row);
        const ProductFactor strip = part(b, column, n, k, depth);
        kernels.pack(strip, true, 0, kernels.packed_parts(strip, true), packed_b);
        kernels.multiply({packed_a, packed_b, m, n, kernels.steps(depth), c + row * ldc + column, ldc, accumulate || k > 0},
                         0, kernels.strips(m, false), 0, 1);
      }
    });
  }
}

}  // namespace

bool has_bf16_product() { return bf16_product_kernels().multiply != nullptr; }

void bf16_product(const ProductFactor& a, const ProductFactor& b, float* c, int64_t ldc, bool accumulate) {
  if (!bf16_product_kernels().shares_factors && a.outer <= kFewRows) return product_of_few_rows(a, b, c, ldc, accumulate);
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

// Products with f32, f16 and bf16 weights: one fused multiply-add per k, in rising k, for every output. Where the
// processor multiplies bf16 pairs (AVX-512 BF16) activations are rounded to bf16 and k rises two at a time, unless the
// weight asks for exact products.
#include <algorithm>

#include "kernels/isa/bf16_dot.h"
#include "kernels/isa/bf16_tiles.h"
#include "kernels/isa/matmul_isa.h"
#include "kernels/isa/simd_int.h"

namespace sumi::kernels::SUMI_ISA {

namespace {

constexpr int kVectors = kPanel / Vec::kWidth;

#define SUMI_UNROLL _Pragma("GCC unroll 16")
#define SUMI_INLINE inline __attribute__((always_inline))

// What is multiplied by what: weights of f32, f16 or bf16 by activations in f32, or bf16 by bf16.
enum class Product { f32, f16, bf16, rounded };

// What one register of weights of a panel holds: one k of f32 and f16, a pair of k of bf16.
constexpr int k_per_step(Product product) { return product >= Product::bf16 ? 2 : 1; }
constexpr int step_bytes(Product product) { return (product == Product::f16 ? 2 : 4) * kPanel; }

// Rows taken together at most. More would need fewer panels beside them, and where K is a power of two the rows lie in the
// same few sets of the first cache: twelve rows of 4 KB read at two thirds of the speed of six.
constexpr int kMostRows = 6;

// Panels taken side by side. Each output is one chain of dependent additions; a few rows alone have too few of them to
// hide how long an addition takes.
constexpr int panels_beside(int rows) {
  if (rows == kMostRows) return 2 / kVectors;
  const int panels = 8 / (rows * kVectors);
  return panels > 4 ? 4 : panels < 1 ? 1 : panels;
}

// Step `step` of one panel, whose weights are at `w`, for kRows rows from `row` on.
template <Product kProduct, int kRows>
SUMI_INLINE void add_step(const MatmulArgs& args, const std::byte* w, int64_t row, int64_t step,
                          Vec (&total)[kRows][kVectors]) {
  const int64_t k = args.weight.k;
  if constexpr (kProduct < Product::bf16) {
    Vec weight[kVectors];
    SUMI_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kProduct == Product::f32)
        weight[v] = Vec::load(reinterpret_cast<const float*>(w) + v * Vec::kWidth);
      else
        weight[v] = load_f16(w + 2 * v * Vec::kWidth);
    }
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vec a = Vec::set1(args.x[(row + r) * k + step]);
      SUMI_UNROLL
      for (int v = 0; v < kVectors; ++v) total[r][v] = fma(weight[v], a, total[r][v]);
    }
  } else if constexpr (kProduct == Product::bf16) {
    Vec even[kVectors], odd[kVectors];
    SUMI_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      even[v] = even_of_pairs(w + v * kRegisterBytes);
      odd[v] = odd_of_pairs(w + v * kRegisterBytes);
    }
    const bool pair = 2 * step + 1 < k;
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const float* x = args.x + (row + r) * k + 2 * step;
      const Vec a = Vec::set1(x[0]), b = Vec::set1(pair ? x[1] : 0.0f);
      SUMI_UNROLL
      for (int v = 0; v < kVectors; ++v) total[r][v] = fma(odd[v], b, fma(even[v], a, total[r][v]));
    }
  } else {
#if defined(SUMI_BF16_DOT)
    const int64_t pairs = (k + 1) / 2;
    const Register weight = load_bytes(w);
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r)
      total[r][0] = dot_bf16(total[r][0], splat_group(args.x_bf16 + ((row + r) * pairs + step) * 2), weight);
#endif
  }
}

// kPanels panels from `panel` on, rows [row, row + kRows).
template <Product kProduct, int kPanels, int kRows>
void panel_rows(const MatmulArgs& args, int64_t panel, int64_t row) {
  const PackedMatrix& weight = args.weight;
  const int64_t steps = (weight.k + k_per_step(kProduct) - 1) / k_per_step(kProduct);
  const std::byte* w = weight.panel_at(panel);
  ReadAhead<kPanels> ahead(args, panel);
  Vec total[kPanels][kRows][kVectors];
  SUMI_UNROLL
  for (int p = 0; p < kPanels; ++p)
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLL
      for (int v = 0; v < kVectors; ++v) total[p][r][v] = Vec::zero();
  for (int64_t step = 0; step < steps; ++step, w += step_bytes(kProduct)) {
    if constexpr (kRows <= 2) ahead.step(step_bytes(kProduct));
    SUMI_UNROLL
    for (int p = 0; p < kPanels; ++p)
      add_step<kProduct, kRows>(args, w + static_cast<size_t>(p) * weight.panel_bytes, row, step, total[p]);
  }
  SUMI_UNROLL
  for (int p = 0; p < kPanels; ++p)
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r) store_panel_row(args, args.bias, panel + p, row + r, total[p][r]);
}

// Rows [row, row + kRows) of panels [panel, stop).
template <Product kProduct, int kRows>
void rows(const MatmulArgs& args, int64_t panel, int64_t stop, int64_t row) {
  constexpr int kBeside = panels_beside(kRows);
  for (; panel + kBeside <= stop; panel += kBeside) panel_rows<kProduct, kBeside, kRows>(args, panel, row);
  for (; panel < stop; ++panel) panel_rows<kProduct, 1, kRows>(args, panel, row);
}

#if defined(SUMI_AVX512)
// Rows in groups: twelve by two panels fill the registers, and what a step takes of twelve rows lies together. Rows apart,
// whose places in memory are a power of two apart, share a few sets of the first cache.
constexpr int64_t kLeastOfGroup = 4;  // rows are taken in multiples of so many; of a last group some are not stored

// Weights are widened once for a block of rows: a stretch of K of some panels, which stay in the second cache while groups
// of rows pass by, two panels at a time. Sums wait in memory between stretches.
constexpr int64_t kStretch = 768;
constexpr int64_t kWidePanels = 8;
constexpr int64_t kBlockRows = 22 * kFloatGroup;

// Of kPanels panels, k [begin, end): those of a k together.
template <Product kProduct, int kPanels>
void widen(const PackedMatrix& weight, int64_t panel, int64_t begin, int64_t end, float* to) {
  static_assert(kVectors == 1);
  const std::byte* w = weight.panel_at(panel) + begin / k_per_step(kProduct) * step_bytes(kProduct);
  for (int64_t i = begin; i < end; i += k_per_step(kProduct), w += step_bytes(kProduct))
    SUMI_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      const std::byte* from = w + static_cast<size_t>(p) * weight.panel_bytes;
      float* here = to + ((i - begin) * kPanels + p) * kPanel;
      if constexpr (kProduct == Product::f32) {
        Vec::load(reinterpret_cast<const float*>(from)).store(here);
      } else if constexpr (kProduct == Product::f16) {
        load_f16(from).store(here);
      } else {
        even_of_pairs(from).store(here);
        if (i + 1 < end) odd_of_pairs(from).store(here + kPanels * kPanel);
      }
    }
}

// sums [kRows, kPanels], rows kWidePanels apart, += `count` k of a group of rows times widened weights.
template <int kPanels, int kRows>
void add_group(const float* x, const float* w, int64_t count, float* sums) {
  constexpr int64_t kRow = kWidePanels * kPanel;
  Vec total[kRows][kPanels];
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r)
    SUMI_UNROLL
    for (int p = 0; p < kPanels; ++p) total[r][p] = Vec::load(sums + r * kRow + p * kPanel);
#pragma GCC unroll 4
  for (int64_t i = 0; i < count; ++i, x += kFloatGroup, w += kPanels * kPanel) {
    Vec weights[kPanels];
    SUMI_UNROLL
    for (int p = 0; p < kPanels; ++p) weights[p] = Vec::load(w + p * kPanel);
    add_spread(x, 1, weights, total);
  }
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r)
    SUMI_UNROLL
    for (int p = 0; p < kPanels; ++p) total[r][p].store(sums + r * kRow + p * kPanel);
}

// `rows` rows of a group, which may be more than there are.
template <int kPanels>
void add_rows(int64_t rows, const float* x, const float* w, int64_t count, float* sums) {
  static_assert(kFloatGroup == 3 * kLeastOfGroup);
  if (rows > 2 * kLeastOfGroup) add_group<kPanels, kFloatGroup>(x, w, count, sums);
  else if (rows > kLeastOfGroup) add_group<kPanels, 2 * kLeastOfGroup>(x, w, count, sums);
  else add_group<kPanels, kLeastOfGroup>(x, w, count, sums);
}

// Panels [panel, panel + panels), kWidePanels at most.
template <Product kProduct>
void group_panels(const MatmulArgs& args, int64_t panel, int64_t panels) {
  const int64_t k = args.weight.k;
  alignas(64) float weights[kStretch * kWidePanels * kPanel];
  alignas(64) float sums[kBlockRows * kWidePanels * kPanel];
  for (int64_t first = 0; first < args.m; first += kBlockRows) {
    const int64_t end = std::min(args.m, first + kBlockRows);
    std::memset(sums, 0, sizeof sums);
    for (int64_t begin = 0; begin < k; begin += kStretch) {
      const int64_t count = std::min(kStretch, k - begin);
      for (int64_t p = 0; p < panels; p += 2) {
        float* to = weights + p * kPanel * kStretch;
        if (p + 1 < panels) widen<kProduct, 2>(args.weight, panel + p, begin, begin + count, to);
        else widen<kProduct, 1>(args.weight, panel + p, begin, begin + count, to);
      }
      for (int64_t row = first; row < end; row += kFloatGroup) {
        const float* x = args.x_groups + row * k + begin * kFloatGroup;
        float* to = sums + (row - first) * kWidePanels * kPanel;
        for (int64_t p = 0; p < panels; p += 2) {
          const float* w = weights + p * kPanel * kStretch;
          if (p + 1 < panels) add_rows<2>(end - row, x, w, count, to + p * kPanel);
          else add_rows<1>(end - row, x, w, count, to + p * kPanel);
        }
      }
    }
    for (int64_t row = first; row < end; ++row)
      for (int64_t p = 0; p < panels; ++p) {
        const Vec total = Vec::load(sums + ((row - first) * kWidePanels + p) * kPanel);
        store_panel_row(args, args.bias, panel + p, row, &total);
      }
  }
}

void float_group(const float* x, int64_t m, int64_t k, int64_t row, float* groups) {
  const int64_t count = m - row < kFloatGroup ? m - row : kFloatGroup;
  float* to = groups + row * k;
  for (int64_t i = 0; i < k; ++i, to += kFloatGroup) {
    for (int64_t r = 0; r < count; ++r) to[r] = x[(row + r) * k + i];
    for (int64_t r = count; r < kFloatGroup; ++r) to[r] = 0;
  }
}
#else
constexpr auto float_group = nullptr;
#endif

template <Product kProduct>
void panels(const MatmulArgs& args, int64_t begin, int64_t end) {
#if defined(SUMI_AVX512)
  if constexpr (kProduct != Product::rounded)
    if (args.x_groups) {
      for (; begin < end; begin += kWidePanels) group_panels<kProduct>(args, begin, std::min(kWidePanels, end - begin));
      return;
    }
#endif
  constexpr int64_t kGroup = 4;  // panels that stay in the cache until all rows had them
  constexpr int kBeside = panels_beside(kMostRows);
  const int64_t rest = args.m % kMostRows;
  const int64_t whole = args.m - (rest == 2 && args.m > 2 ? rest + kMostRows : rest);  // eight rows are two times four
  for (; begin < end; begin += kGroup) {
    const int64_t stop = begin + kGroup < end ? begin + kGroup : end;
    for (int64_t panel = begin; panel < stop; panel += kBeside)
      for (int64_t row = 0; row < whole; row += kMostRows)
        rows<kProduct, kMostRows>(args, panel, panel + kBeside < stop ? panel + kBeside : stop, row);
    int64_t row = whole;
    for (; row + 4 <= args.m; row += 4) rows<kProduct, 4>(args, begin, stop, row);
    for (; row + 2 <= args.m; row += 2) rows<kProduct, 2>(args, begin, stop, row);
    for (; row < args.m; ++row) rows<kProduct, 1>(args, begin, stop, row);
  }
}

void matmul(const MatmulArgs& args, int64_t begin, int64_t end) {
  if (args.weight.quantized()) matmul_codes(args, begin, end);
  else matmul_floats(args, begin, end);
}

}  // namespace

void matmul_floats(const MatmulArgs& args, int64_t begin, int64_t end) {
  switch (args.weight.code) {
    case CodeKind::f32: return panels<Product::f32>(args, begin, end);
    case CodeKind::f16: return panels<Product::f16>(args, begin, end);
    default: break;
  }
#if defined(SUMI_AMX)
  if (!args.weight.exact) return bf16_panels_in_tiles(args, begin, end);
#elif defined(SUMI_BF16_DOT)
  if (!args.weight.exact) return panels<Product::rounded>(args, begin, end);
#endif
  panels<Product::bf16>(args, begin, end);
}

#if defined(SUMI_BF16_DOT) && !defined(SUMI_AMX)
void bf16_row(const float* x, int64_t k, uint16_t* to) {
  bf16_from_floats(x, k, to);
  if (k % 2) to[k] = 0;
}
#else
constexpr auto bf16_row = nullptr;
#endif

#if defined(SUMI_AMX)
constexpr bool kCodeTiles = true;
void bf16_tile_row(const float* x, int64_t k, int64_t row, uint16_t* tiles) {
  const int64_t steps = (k + kTileColumns - 1) / kTileColumns;
  uint16_t* to = tiles + (row / kTileRows * steps * kTileRows + row % kTileRows) * kTileColumns;
  for (int64_t left = k; left > 0; left -= kTileColumns, x += kTileColumns, to += kTileRows * kTileColumns) {
    bf16_from_floats(x, left < kTileColumns ? left : kTileColumns, to);
    if (left < kTileColumns) std::memset(to + left, 0, static_cast<size_t>(kTileColumns - left) * 2);
  }
}
#else
constexpr bool kCodeTiles = false;
constexpr auto bf16_tile_row = nullptr;
#endif

#if defined(SUMI_VNNI)
constexpr bool kCodeGroups = true;
#else
constexpr bool kCodeGroups = false;
#endif

const MatmulKernels kMatmulKernels = {matmul, quantize_row, bf16_row, bf16_tile_row, kCodeTiles, kCodeGroups, float_group, kFirstSum};

}  // namespace sumi::kernels::SUMI_ISA

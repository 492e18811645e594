// Products with f32, f16 and bf16 weights: one fused multiply-add per k, in rising k, for every output. Where the
// processor multiplies bf16 pairs (AVX-512 BF16) activations are rounded to bf16 and k rises two at a time, unless the
// weight asks for exact products.
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

// Panels taken side by side. Each output is one chain of dependent additions; few rows alone have too few of them to hide
// how long an addition takes. Two are enough for one row not to wait for anything but memory, and are read at 96 % of its
// rate on two cores of a Xeon (Emerald Rapids), where four are at 75 %.
constexpr int panels_beside(int rows) { return rows * kVectors <= kMostRows ? 2 : 1; }

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

template <Product kProduct>
void panels(const MatmulArgs& args, int64_t begin, int64_t end) {
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

const MatmulKernels kMatmulKernels = {matmul, quantize_row, bf16_row, bf16_tile_row, kCodeTiles, kCodeGroups, kFirstSum};

}  // namespace sumi::kernels::SUMI_ISA

#include "kernels/unpacked_product.h"

#include <algorithm>

#include "base/memory.h"
#include "base/round_up.h"
#include "kernels/elementwise.h"
#include "kernels/isa_copies.h"
#include "kernels/tile_matmul.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(UnpackKernels, kUnpack)

const UnpackKernels& unpack_kernels_for(base::Isa isa) { return SUMI_SELECT_ISA(kUnpack, isa); }

const UnpackKernels& unpack_kernels() {
  static const UnpackKernels& kernels = unpack_kernels_for(base::active_isa());
  return kernels;
}

namespace {

constexpr int64_t kDepth = 768;  // floats of k, or of n, in a strip: 96 KB, which stay in the second cache
constexpr int64_t kStrip = 2 * kPanel;
constexpr int64_t kMostRows = 512;  // that a strip is multiplied with: as deep as it, they stay in or near the second cache, too

float* strip_memory() {
  thread_local base::Scratch memory;
  return reinterpret_cast<float*>(memory.at_least(static_cast<size_t>(kDepth * kStrip) * sizeof(float)));
}

// body(first row, rows) for blocks of about equal size.
template <class Body>
void for_row_blocks(int64_t rows, const Body& body) {
  const int64_t blocks = (rows + kMostRows - 1) / kMostRows;
  const int64_t most = blocks > 0 ? base::round_up((rows + blocks - 1) / blocks, kFloatGroup) : 1;
  for (int64_t row = 0; row < rows; row += most) body(row, std::min(most, rows - row));
}

// Columns [k, k + kGradientStrip) of rows [n, n + count) of W, each row's side by side. Those behind them are asked for early.
void unpack_turned(const PackedMatrix& w, int64_t k, int64_t n, int64_t count, float* strip) {
  alignas(64) float square[kGradientStrip * kPanel];
  const int64_t width = std::min(kGradientStrip, w.k - k), ahead = static_cast<int64_t>(w.panel_bytes) * width / w.k;
  for (int64_t i = 0; i < count; i += kPanel, strip += kPanel * kStrip) {
    unpack_kernels().unpack(w, (n + i) / kPanel, k, width, ahead, square, kPanel);
    tile_kernels().transpose(width, std::min<int64_t>(kPanel, count - i), square, kPanel, strip, kStrip);
  }
}

// Rows [row, row + rows) of y, columns [first, first + count), += `depth` numbers from k on of those of x times a strip.
void multiply(const MatmulArgs& args, int64_t row, int64_t rows, int64_t first, int64_t count, int64_t k, int64_t depth,
              const float* strip) {
  float* y = args.y + row * args.ldy + first;
  if (!args.x_groups)
    return tile_kernels().multiply(rows, count, depth, args.x + row * args.weight.k + k, args.weight.k, 1, strip, kStrip, y,
                                   args.ldy, k > 0);
  const float* x = args.x_groups + row * args.weight.k + k * kFloatGroup;
  for (int64_t r = 0; r < rows; r += kFloatGroup, x += kFloatGroup * args.weight.k, y += kFloatGroup * args.ldy)
    tile_kernels().multiply(std::min(kFloatGroup, rows - r), count, depth, x, 1, kFloatGroup, strip, kStrip, y, args.ldy, k > 0);
}

}  // namespace

void unpacked_product(const MatmulArgs& args, int64_t begin, int64_t end) {
  const PackedMatrix& w = args.weight;
  float* strip = strip_memory();
  const auto ahead = static_cast<int64_t>(kStrip / kPanel * w.panel_bytes);
  for_row_blocks(args.m, [&](int64_t row, int64_t rows) {
    for (int64_t k = 0; k < w.k; k += kDepth) {
      const int64_t depth = std::min(kDepth, w.k - k);
      for (int64_t panel = begin; panel < end; panel += kStrip / kPanel) {
        const int64_t panels = std::min(kStrip / kPanel, end - panel), first = panel * kPanel;
        for (int64_t i = 0; i < panels; ++i)
          unpack_kernels().unpack(w, panel + i, k, depth, ahead, strip + i * kPanel, kStrip);
        multiply(args, row, rows, first, std::min(panels * kPanel, w.n - first), k, depth, strip);
      }
    }
    if (!args.bias) return;
    const int64_t first = begin * kPanel, count = std::min(end * kPanel, w.n) - first;
    for (int64_t r = 0; r < rows; ++r)
      elementwise_kernels().accumulate(args.bias + first, args.y + (row + r) * args.ldy + first, count);
  });
}

void unpacked_gradient(const PackedMatrix& w, int64_t rows, const float* dy, int64_t dy_row, int64_t begin, int64_t end,
                       float* dx, bool accumulate) {
  static_assert(kGradientStrip == kStrip && kDepth % kPanel == 0);
  float* strip = strip_memory();
  for_row_blocks(rows, [&](int64_t row, int64_t count) {
    for (int64_t n = 0; n < w.n; n += kDepth) {
      const int64_t depth = std::min(kDepth, w.n - n);
      for (int64_t k = begin; k < end; k += kGradientStrip) {
        unpack_turned(w, k, n, depth, strip);
        tile_kernels().multiply(count, std::min(kGradientStrip, end - k), depth, dy + row * dy_row + n, dy_row, 1, strip, kStrip,
                                dx + row * w.k + k, w.k, accumulate || n > 0);
      }
    }
  });
}

}  // namespace sumi::kernels

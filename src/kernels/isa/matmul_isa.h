// Shared by the matrix kernels of one instruction set.
#pragma once

#include "base/half.h"
#include "kernels/isa/simd.h"
#include "kernels/isa/simd_int.h"
#include "kernels/matmul.h"

namespace sumi::kernels::SUMI_ISA {

void matmul_codes(const MatmulArgs& args, int64_t begin, int64_t end);
void matmul_floats(const MatmulArgs& args, int64_t begin, int64_t end);
void quantize_row(const float* x, int64_t k, int64_t row, const QuantizedRows& q);
extern const MatmulKernels kMatmulKernels;

// What exact sums of codes begin with: with VNNI they are read as floats. Converting them would take one of the two pipes
// that multiply on Intel's processors, for one operation in eleven.
#if defined(SUMI_VNNI)
inline constexpr int32_t kFirstSum = kSumBias;
#else
inline constexpr int32_t kFirstSum = 0;
#endif

// Products of one or two rows wait for memory. Where MatmulArgs::ahead says so, weights are asked for twice, far ahead
// into the second-level cache and less far into the first: Intel's own prefetching stops at the end of each page of 4 KB
// and looks less far. On two cores of a Xeon (Emerald Rapids) 4-bit codes come at 74 % of the rate of plain reading
// without this, at 84 % with the near distance alone, at 99 % with both; at 94 % where the near one is 1 KB.
template <int kPanels>
class ReadAhead {
 public:
  // kPanels panels side by side from `panel` on. What lies behind MatmulArgs::ahead is not asked for early.
  ReadAhead(const MatmulArgs& args, int64_t panel)
      : panel_bytes_(static_cast<int64_t>(args.weight.panel_bytes)),
        at_(args.weight.panel_at(panel)),
        next_(at_ + panel_bytes_),
        end_(args.weight.panel_at(args.ahead)),
        on_(args.ahead > 0) {}
  // The next `bytes` bytes of each panel are going to be used.
  void step(int bytes) {
    if (!on_) return;
    ask<prefetch>(kNear, bytes);
    ask<prefetch_later>(kFar, bytes);
    at_ += bytes;
  }

 private:
  static constexpr int64_t kNear = 8192, kFar = 16384;

  template <void (*kAsk)(const void*)>
  void ask(int64_t distance, int bytes) const {
    if (kPanels > 1 && distance > panel_bytes_) distance = panel_bytes_;
    const std::byte* from = at_ + distance;
    if (from >= next_) from += (kPanels - 1) * panel_bytes_;
    if (from >= end_) return;
    for (int p = 0; p < kPanels; ++p, from += panel_bytes_)
      for (int i = 0; i < bytes; i += 64) kAsk(from + i);
  }

  int64_t panel_bytes_;
  const std::byte *at_, *next_, *end_;
  bool on_;
};

// One row's outputs of a panel (kPanel / Vec::kWidth registers), the last panel cut to n: written after adding the bias
// unless it is null, and read back.
inline void store_panel_row(const MatmulArgs& args, const float* bias, int64_t panel, int64_t row,
                            const Vec* total) {
  const int64_t first = panel * kPanel;
  float* y = args.y + row * args.ldy + first;
  for (int v = 0; v < kPanel / Vec::kWidth; ++v) {
    const int64_t at = v * Vec::kWidth;
    const int64_t left = args.weight.n - first - at;
    if (left >= Vec::kWidth)
      (bias ? total[v] + Vec::load(bias + first + at) : total[v]).store(y + at);
    else if (left > 0)
      store_partial(bias ? total[v] + load_partial(bias + first + at, left) : total[v], y + at, left);
  }
}

inline void load_panel_row(const MatmulArgs& args, int64_t panel, int64_t row, Vec* total) {
  const int64_t first = panel * kPanel;
  const float* y = args.y + row * args.ldy + first;
  for (int v = 0; v < kPanel / Vec::kWidth; ++v) {
    const int64_t at = v * Vec::kWidth;
    const int64_t left = args.weight.n - first - at;
    if (left >= Vec::kWidth)
      total[v] = Vec::load(y + at);
    else if (left > 0)
      total[v] = load_partial(y + at, left);
  }
}

}  // namespace sumi::kernels::SUMI_ISA

// Products of int8 activations with weights stored as whole-number codes (layout: kernels/packed_matrix.h).
//
// One micro-kernel, instantiated for each code width, kind of scale and number of activation rows. For each output it
// sums products of a block exactly, in integers, then adds
//   float(sum - zero_point * sum of activations) * (weight scale * activation scale)  [+ min * scaled sum]
// to the output's float, block after block. One row or many: the same operations in the same order. The second
// term of the sum is what a block's sum starts from (MatmulArgs::offsets): that costs a load and no arithmetic.
#include "kernels/isa/matmul_isa.h"
#include "kernels/isa/simd_int.h"

namespace sumi::kernels::SUMI_ISA {

namespace {

constexpr int kVectors = kPanel / Vec::kWidth;  // registers across a panel; a tile of P panels has P * kVectors

#if defined(SUMI_AVX512) || defined(SUMI_AVX2)
#define SUMI_UNROLL _Pragma("GCC unroll 16")
#else
#define SUMI_UNROLL
#endif

// Everything of the micro-kernel must end up in one function, or its registers go through memory.
#define SUMI_INLINE inline __attribute__((always_inline))

// Weights with a zero point. 8-bit codes lose it before the product where magnitudes and signs are split.
constexpr bool has_offset(CodeKind code, ScaleKind scale) {
  return (scale == ScaleKind::half || scale == ScaleKind::k16) && (code != CodeKind::u8 || kDirectDot);
}

// How many groups (of 4 k) of u8 x s8 pair sums fit in 16 bits: groups * 2 * max code * 127 < 2^15. For 8-bit codes
// magnitudes and signs are separated first, and one group fits.
constexpr int groups_in_16_bits(CodeKind code) {
  return code == CodeKind::u4 ? 8 : code == CodeKind::u5 ? 4 : code == CodeKind::u6 ? 2 : 1;
}

constexpr bool has_min(ScaleKind s) {
  return s == ScaleKind::half_min || s == ScaleKind::k32_min || s == ScaleKind::k16_min;
}
constexpr bool halves(ScaleKind s) { return s == ScaleKind::k16 || s == ScaleKind::k16_min; }

struct PanelPointers {
  const std::byte *codes, *high, *scales, *supers;
};

// Codes of group kGroup (of the 8 of a block), vector v of a panel.
template <CodeKind kCode, int kGroup>
SUMI_INLINE Register load_group(const PanelPointers& p, int v) {
  if constexpr (kCode == CodeKind::u8) {
    return load_bytes(p.codes + kGroup * 4 * kPanel + v * kRegisterBytes);
  } else {
    const Register both = load_bytes(p.codes + kGroup / 2 * 4 * kPanel + v * kRegisterBytes);
    Register code;
    if constexpr (kGroup % 2)
      code = bit_and(shift_right16<4>(both), splat8(15));
    else
      code = bit_and(both, splat8(15));
    if constexpr (kCode == CodeKind::u5) {
      const Register bits = load_bytes(p.high + v * kRegisterBytes);
      Register at4;
      if constexpr (kGroup <= 4)
        at4 = shift_left16<4 - kGroup>(bits);
      else
        at4 = shift_right16<kGroup - 4>(bits);
      code = bit_or(code, bit_and(at4, splat8(16)));
    }
    if constexpr (kCode == CodeKind::u6) {
      const Register bits = load_bytes(p.high + kGroup / 4 * 4 * kPanel + v * kRegisterBytes);
      constexpr int kShift = 4 - 2 * (kGroup % 4);
      Register at4;
      if constexpr (kShift >= 0)
        at4 = shift_left16<kShift>(bits);
      else
        at4 = shift_right16<-kShift>(bits);
      code = bit_or(code, bit_and(at4, splat8(48)));
    }
    return code;
  }
}

SUMI_INLINE Register splat_activations(const int8_t* x) {
  int32_t four;
  std::memcpy(&four, x, 4);
  return splat32(four);
}

// Adds groups [kGroup, kEnd) to the 32-bit sums, or to the 16-bit sums where the level has no direct dot product.
template <CodeKind kCode, int kRows, int kPanels, int kGroup, int kEnd>
SUMI_INLINE void add_groups(const PanelPointers (&p)[kPanels], const int8_t* x, int64_t stride,
                            Register (&sum)[kRows][kPanels * kVectors]) {
  if constexpr (kGroup < kEnd) {
    Register w[kPanels * kVectors];
    SUMI_UNROLL
    for (int v = 0; v < kPanels * kVectors; ++v) w[v] = load_group<kCode, kGroup>(p[v / kVectors], v % kVectors);
#if defined(SUMI_VNNI) || !(defined(SUMI_AVX512) || defined(SUMI_AVX2))
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Register a = splat_activations(x + r * stride + 4 * kGroup);
      SUMI_UNROLL
      for (int v = 0; v < kPanels * kVectors; ++v) sum[r][v] = dot_u8_s8(sum[r][v], w[v], a);
    }
#else
    if constexpr (kCode == CodeKind::u8) {
      Register magnitude[kPanels * kVectors];
      SUMI_UNROLL
      for (int v = 0; v < kPanels * kVectors; ++v) {
        w[v] = bit_xor(w[v], splat8(static_cast<char>(-128)));
        magnitude[v] = magnitude8(w[v]);
      }
      SUMI_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Register a = splat_activations(x + r * stride + 4 * kGroup);
        SUMI_UNROLL
        for (int v = 0; v < kPanels * kVectors; ++v)
          sum[r][v] = add32(sum[r][v], pairs_16(pairs_u8_s8(magnitude[v], with_sign8(a, w[v]))));
      }
    } else {
      SUMI_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Register a = splat_activations(x + r * stride + 4 * kGroup);
        SUMI_UNROLL
        for (int v = 0; v < kPanels * kVectors; ++v) sum[r][v] = add16(sum[r][v], pairs_u8_s8(w[v], a));
      }
    }
#endif
    add_groups<kCode, kRows, kPanels, kGroup + 1, kEnd>(p, x, stride, sum);
  }
}

// Exact 32-bit sums of groups [kBegin, kEnd) of a block.
template <CodeKind kCode, int kRows, int kPanels, int kBegin, int kEnd>
SUMI_INLINE void sum_groups(const PanelPointers (&p)[kPanels], const int8_t* x, int64_t stride,
                            Register (&sum)[kRows][kPanels * kVectors]) {
  if constexpr (kDirectDot || kCode == CodeKind::u8) {
    add_groups<kCode, kRows, kPanels, kBegin, kEnd>(p, x, stride, sum);
  } else if constexpr (kBegin < kEnd) {
#if !defined(SUMI_VNNI) && (defined(SUMI_AVX512) || defined(SUMI_AVX2))
    constexpr int kLimit = groups_in_16_bits(kCode);
    constexpr int kStop = kEnd - kBegin < kLimit ? kEnd : kBegin + kLimit;
    Register sum16[kRows][kPanels * kVectors];
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLL
      for (int v = 0; v < kPanels * kVectors; ++v) sum16[r][v] = zero_register();
    add_groups<kCode, kRows, kPanels, kBegin, kStop>(p, x, stride, sum16);
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLL
      for (int v = 0; v < kPanels * kVectors; ++v) sum[r][v] = add32(sum[r][v], pairs_16(sum16[r][v]));
    sum_groups<kCode, kRows, kPanels, kStop, kEnd>(p, x, stride, sum);
#endif
  }
}

// Scale and min of the weights of a block (or of one of its halves), for vector v of the panel.
template <ScaleKind kScale>
SUMI_INLINE void load_scales(const PanelPointers& p, int half, int v, Vec& scale, Vec& min) {
  const int n = v * Vec::kWidth;
  if constexpr (kScale == ScaleKind::half) {
    scale = load_f16(p.scales + 2 * n);
  } else if constexpr (kScale == ScaleKind::half_min) {
    scale = load_f16(p.scales + 2 * n);
    min = load_f16(p.scales + 2 * (kPanel + n));
  } else if constexpr (kScale == ScaleKind::k32_min) {
    scale = load_f16(p.supers + 2 * n) * load_u8(p.scales + n);
    min = Vec::zero() - load_f16(p.supers + 2 * (kPanel + n)) * load_u8(p.scales + kPanel + n);
  } else if constexpr (kScale == ScaleKind::k16) {
    scale = load_f16(p.supers + 2 * n) * load_i8(p.scales + half * kPanel + n);
  } else {
    scale = load_f16(p.supers + 2 * n) * load_u8(p.scales + 2 * half * kPanel + n);
    min = Vec::zero() -
          load_f16(p.supers + 2 * (kPanel + n)) * load_u8(p.scales + (2 * half + 1) * kPanel + n);
  }
}

// Groups [kBegin, kEnd) of a block, all under one scale, into the float sums. `part` indexes sums and scaled_sums.
template <CodeKind kCode, ScaleKind kScale, int kRows, int kPanels, int kBegin, int kEnd>
SUMI_INLINE void add_block(const PanelPointers (&p)[kPanels], const MatmulArgs& args, int64_t row, int64_t block,
                           Vec (&total)[kRows][kPanels * kVectors]) {
  constexpr int kRegisters = kPanels * kVectors;
  constexpr int kPart = kEnd - kBegin == 8 ? 2 : kBegin / 4;
  const int64_t k = args.weight.k, blocks = k / kBlock;
  Register sum[kRows][kRegisters];
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r) {
    Register offset = zero_register();
    if constexpr (has_offset(kCode, kScale)) offset = splat32(args.offsets[((row + r) * blocks + block) * 3 + kPart]);
    SUMI_UNROLL
    for (int v = 0; v < kRegisters; ++v) sum[r][v] = offset;
  }
  sum_groups<kCode, kRows, kPanels, kBegin, kEnd>(p, args.q.codes + row * k + block * kBlock, k, sum);
  Vec scale[kRegisters], min[kRegisters];
  SUMI_UNROLL
  for (int v = 0; v < kRegisters; ++v) load_scales<kScale>(p[v / kVectors], kBegin / 4, v % kVectors, scale[v], min[v]);
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const int64_t at = (row + r) * blocks + block;
    const Vec activation_scale = Vec::set1(args.q.scales[at]);
    Vec scaled_sum = Vec::zero();
    if constexpr (has_min(kScale)) scaled_sum = Vec::set1(args.q.scaled_sums[at * 3 + kPart]);
    SUMI_UNROLL
    for (int v = 0; v < kRegisters; ++v) {
      total[r][v] = fma(to_float(sum[r][v]), scale[v] * activation_scale, total[r][v]);
      if constexpr (has_min(kScale)) total[r][v] = fma(min[v], scaled_sum, total[r][v]);
    }
  }
}

// How far ahead of the products a panel's memory is asked for: panels lie one after the other, and the processor's
// own prefetching stops at the end of each page of 4 KB.
constexpr int64_t kPrefetchBytes = 2048;

template <CodeKind kCode, ScaleKind kScale, int kRows, int kPanels>
void panel_rows(const MatmulArgs& args, int64_t panel, int64_t row) {
  constexpr int kRegisters = kPanels * kVectors;
  const PackedMatrix& w = args.weight;
  PanelPointers p[kPanels];
  for (int i = 0; i < kPanels; ++i) {
    const std::byte* base = w.data + static_cast<size_t>(panel + i) * w.panel_bytes;
    p[i] = {base, base + w.high_offset, base + w.scale_offset, base + w.super_offset};
  }
  constexpr int kCodeStep = (kCode == CodeKind::u8 ? 32 : 16) * kPanel;
  constexpr int kHighStep = kCode == CodeKind::u5 ? 4 * kPanel : kCode == CodeKind::u6 ? 8 * kPanel : 0;
  constexpr int kScaleStep =
      (kScale == ScaleKind::half_min || kScale == ScaleKind::k16_min ? 4 : 2) * kPanel;
  constexpr int kSuperStep = kScale == ScaleKind::k16 ? 2 * kPanel : halves(kScale) || kScale == ScaleKind::k32_min ? 4 * kPanel : 0;
  Vec total[kRows][kRegisters];
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r)
    SUMI_UNROLL
    for (int v = 0; v < kRegisters; ++v) total[r][v] = Vec::zero();
  const int64_t blocks = w.k / kBlock;
  const std::byte* ahead = p[0].codes + kPrefetchBytes;
  for (int64_t block = 0; block < blocks; ++block) {
    if constexpr (kRows <= 2) {  // few products a byte: memory is what they wait for
      constexpr int kStep = kCodeStep + kHighStep + kScaleStep;
      for (int i = 0; i < kStep; i += 64) prefetch(ahead + i);
      ahead += kStep;
    }
    if constexpr (halves(kScale)) {
      add_block<kCode, kScale, kRows, kPanels, 0, 4>(p, args, row, block, total);
      add_block<kCode, kScale, kRows, kPanels, 4, 8>(p, args, row, block, total);
    } else {
      add_block<kCode, kScale, kRows, kPanels, 0, 8>(p, args, row, block, total);
    }
    SUMI_UNROLL
    for (int i = 0; i < kPanels; ++i) {
      p[i].codes += kCodeStep;
      p[i].high += kHighStep;
      p[i].scales += kScaleStep;
      if (kSuperStep > 0 && block % (kSuperBlock / kBlock) == kSuperBlock / kBlock - 1) p[i].supers += kSuperStep;
    }
  }
  for (int i = 0; i < kPanels; ++i)
    for (int r = 0; r < kRows; ++r) store_panel_row(args, panel + i, row + r, total[r] + i * kVectors);
}

// Tiles of rows by panels: with 12 sums and 12 totals they fill the 32 registers of AVX-512. Two panels share the
// loads of activations, one shares the unpacking of codes among more rows.
template <CodeKind kCode, ScaleKind kScale>
void panels(const MatmulArgs& args, int64_t begin, int64_t end) {
  int64_t panel = begin;
#if defined(SUMI_VNNI)
  if (args.m >= 6)
    for (; panel + 2 <= end; panel += 2) {
      int64_t row = 0;
      for (; row + 6 <= args.m; row += 6) panel_rows<kCode, kScale, 6, 2>(args, panel, row);
      for (; row + 2 <= args.m; row += 2) panel_rows<kCode, kScale, 2, 2>(args, panel, row);
      if (row < args.m) panel_rows<kCode, kScale, 1, 2>(args, panel, row);
    }
#endif
  for (; panel < end; ++panel) {
    int64_t row = 0;
#if defined(SUMI_AVX512)
    for (; row + 8 <= args.m; row += 8) panel_rows<kCode, kScale, 8, 1>(args, panel, row);
#endif
#if defined(SUMI_AVX512) || defined(SUMI_AVX2)
    for (; row + 4 <= args.m; row += 4) panel_rows<kCode, kScale, 4, 1>(args, panel, row);
#endif
    for (; row + 2 <= args.m; row += 2) panel_rows<kCode, kScale, 2, 1>(args, panel, row);
    for (; row < args.m; ++row) panel_rows<kCode, kScale, 1, 1>(args, panel, row);
  }
}

}  // namespace

void matmul_codes(const MatmulArgs& args, int64_t begin, int64_t end) {
  using C = CodeKind;
  using S = ScaleKind;
  switch (args.weight.scale) {
    case S::none: return;
    case S::half:
      if (args.weight.code == C::u4) return panels<C::u4, S::half>(args, begin, end);
      if (args.weight.code == C::u5) return panels<C::u5, S::half>(args, begin, end);
      return panels<C::u8, S::half>(args, begin, end);
    case S::half_min:
      if (args.weight.code == C::u4) return panels<C::u4, S::half_min>(args, begin, end);
      return panels<C::u5, S::half_min>(args, begin, end);
    case S::k32_min:
      if (args.weight.code == C::u4) return panels<C::u4, S::k32_min>(args, begin, end);
      return panels<C::u5, S::k32_min>(args, begin, end);
    case S::k16:
      if (args.weight.code == C::u4) return panels<C::u4, S::k16>(args, begin, end);
      return panels<C::u6, S::k16>(args, begin, end);
    case S::k16_min: return panels<C::u4, S::k16_min>(args, begin, end);
  }
}

void quantize_row(const float* x, int64_t k, int64_t row, const QuantizedRows& q) {
  const int64_t blocks = k / kBlock;
  int8_t* codes = q.codes + row * k;
  for (int64_t b = 0; b < blocks; ++b, x += kBlock, codes += kBlock) {
    Vec largest = Vec::zero();
    for (int i = 0; i < kBlock; i += Vec::kWidth) {
      const Vec v = Vec::load(x + i);
      largest = max(largest, max(v, Vec::zero() - v));
    }
    const float magnitude = max_lanes(largest);
    const float scale = magnitude / 127;
    const Vec inverse = Vec::set1(magnitude > 0 ? 127 / magnitude : 0);
    const int32_t part[2] = {round_16(x, inverse, codes), round_16(x + 16, inverse, codes + 16)};
    const int64_t at = row * blocks + b;
    q.scales[at] = scale;
    const int32_t sums[3] = {part[0], part[1], part[0] + part[1]};
    for (int i = 0; i < 3; ++i) {
      q.sums[at * 3 + i] = sums[i];
      q.scaled_sums[at * 3 + i] = scale * static_cast<float>(sums[i]);
    }
  }
}

}  // namespace sumi::kernels::SUMI_ISA

// Reading the packed panels of whole-number codes: shared by the kernels of one instruction set.
#pragma once

#include "kernels/isa/matmul_isa.h"
#include "kernels/isa/simd_int.h"

namespace sumi::kernels::SUMI_ISA {

#if defined(SUMI_AVX512) || defined(SUMI_AVX2)
#define SUMI_UNROLL _Pragma("GCC unroll 16")
#else
#define SUMI_UNROLL
#endif

// Everything of the micro-kernel must end up in one function, or its registers go through memory.
#define SUMI_INLINE inline __attribute__((always_inline))

inline constexpr int kVectors = kPanel / Vec::kWidth;  // registers across a panel

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

// Bytes of a panel from one block to the next.
constexpr int code_step(CodeKind code) { return (code == CodeKind::u8 ? 32 : 16) * kPanel; }
constexpr int high_step(CodeKind code) {
  return code == CodeKind::u5 ? 4 * kPanel : code == CodeKind::u6 ? 8 * kPanel : 0;
}
constexpr int scale_step(ScaleKind s) {
  return (s == ScaleKind::half_min || s == ScaleKind::k16_min ? 4 : 2) * kPanel;
}
// And from one super-block to the next.
constexpr int super_step(ScaleKind s) {
  return s == ScaleKind::k16 ? 2 * kPanel : s == ScaleKind::k16_min || s == ScaleKind::k32_min ? 4 * kPanel : 0;
}

template <CodeKind kCode, ScaleKind kScale>
SUMI_INLINE PanelPointers panel_at(const PackedMatrix& w, int64_t panel, int64_t block) {
  const std::byte* base = w.data + static_cast<size_t>(panel) * w.panel_bytes;
  return {base + block * code_step(kCode), base + w.high_offset + block * high_step(kCode),
          base + w.scale_offset + block * scale_step(kScale),
          base + w.super_offset + block / (kSuperBlock / kBlock) * super_step(kScale)};
}

// To the next block, from block `block`.
template <CodeKind kCode, ScaleKind kScale>
SUMI_INLINE void advance(PanelPointers& p, int64_t block) {
  constexpr int64_t kSuperBlocks = kSuperBlock / kBlock;
  p.codes += code_step(kCode);
  p.high += high_step(kCode);
  p.scales += scale_step(kScale);
  if (super_step(kScale) > 0 && block % kSuperBlocks == kSuperBlocks - 1) p.supers += super_step(kScale);
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

}  // namespace sumi::kernels::SUMI_ISA

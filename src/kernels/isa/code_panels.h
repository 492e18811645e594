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

// An exact sum that began with kFirstSum, times a row's scale.
SUMI_INLINE Vec scaled([[maybe_unused]] Register sum, Vec scale, [[maybe_unused]] Vec shift) {
#if defined(SUMI_VNNI)
  return fma({_mm512_castsi512_ps(sum)}, scale, shift);
#else
  return to_float(sum) * scale;
#endif
}

// A block of a panel, and the super-scales it lies under.
struct PanelPointers {
  const std::byte *block, *supers;
};

// Codes of group kGroup (of the 8 of a block), vector v of a panel.
template <CodeKind kCode, int kGroup>
SUMI_INLINE Register load_group(const PanelPointers& p, int v) {
  if constexpr (kCode == CodeKind::u8) {
    return load_bytes(p.block + kGroup * 4 * kPanel + v * kRegisterBytes);
  } else {
    const Register both = load_bytes(p.block + kGroup / 2 * 4 * kPanel + v * kRegisterBytes);
    Register code;
    if constexpr (kGroup % 2)
      code = bit_and(shift_right16<4>(both), splat8(15));
    else
      code = bit_and(both, splat8(15));
    if constexpr (kCode == CodeKind::u5) {
      const Register bits = load_bytes(p.block + code_bytes(kCode) + v * kRegisterBytes);
      Register at4;
      if constexpr (kGroup <= 4)
        at4 = shift_left16<4 - kGroup>(bits);
      else
        at4 = shift_right16<kGroup - 4>(bits);
      code = bit_or(code, bit_and(at4, splat8(16)));
    }
    if constexpr (kCode == CodeKind::u6) {
      const Register bits = load_bytes(p.block + code_bytes(kCode) + kGroup / 4 * 4 * kPanel + v * kRegisterBytes);
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

template <CodeKind kCode, ScaleKind kScale>
SUMI_INLINE PanelPointers panel_at(const PackedMatrix& w, int64_t panel, int64_t block) {
  const std::byte* base = w.panel_at(panel);
  return {base + block_offset(kCode, kScale, block), base + super_offset(kCode, kScale, block)};
}

// To the next block, from block `block`.
template <CodeKind kCode, ScaleKind kScale>
SUMI_INLINE void advance(PanelPointers& p, int64_t block) {
  constexpr int64_t kSuperBlocks = kSuperBlock / kBlock;
  p.block += block_bytes(kCode, kScale);
  if (super_bytes(kScale) > 0 && block % kSuperBlocks == kSuperBlocks - 1) {
    p.supers = p.block;
    p.block += super_bytes(kScale);
  }
}

// Scale and min of the weights of a block (or of one of its halves), for vector v of the panel.
template <CodeKind kCode, ScaleKind kScale>
SUMI_INLINE void load_scales(const PanelPointers& p, int half, int v, Vec& scale, Vec& min) {
  const int n = v * Vec::kWidth;
  const std::byte* scales = p.block + code_bytes(kCode) + high_bytes(kCode);
  if constexpr (kScale == ScaleKind::half) {
    scale = load_f16(scales + 2 * n);
  } else if constexpr (kScale == ScaleKind::half_min) {
    scale = load_f16(scales + 2 * n);
    min = load_f16(scales + 2 * (kPanel + n));
  } else if constexpr (kScale == ScaleKind::k32_min) {
    scale = load_f16(p.supers + 2 * n) * load_u8(scales + n);
    min = Vec::zero() - load_f16(p.supers + 2 * (kPanel + n)) * load_u8(scales + kPanel + n);
  } else if constexpr (kScale == ScaleKind::k16) {
    scale = load_f16(p.supers + 2 * n) * load_i8(scales + half * kPanel + n);
  } else {
    scale = load_f16(p.supers + 2 * n) * load_u8(scales + 2 * half * kPanel + n);
    min = Vec::zero() -
          load_f16(p.supers + 2 * (kPanel + n)) * load_u8(scales + (2 * half + 1) * kPanel + n);
  }
}

// call.operator()<code, scale>() for the kinds of a weight of codes.
template <class Call>
void for_kinds(const PackedMatrix& w, const Call& call) {
  using C = CodeKind;
  using S = ScaleKind;
  switch (w.scale) {
    case S::none: return;
    case S::half:
      if (w.code == C::u4) return call.template operator()<C::u4, S::half>();
      if (w.code == C::u5) return call.template operator()<C::u5, S::half>();
      return call.template operator()<C::u8, S::half>();
    case S::half_min:
      if (w.code == C::u4) return call.template operator()<C::u4, S::half_min>();
      return call.template operator()<C::u5, S::half_min>();
    case S::k32_min:
      if (w.code == C::u4) return call.template operator()<C::u4, S::k32_min>();
      return call.template operator()<C::u5, S::k32_min>();
    case S::k16:
      if (w.code == C::u4) return call.template operator()<C::u4, S::k16>();
      return call.template operator()<C::u6, S::k16>();
    case S::k16_min: return call.template operator()<C::u4, S::k16_min>();
  }
}

}  // namespace sumi::kernels::SUMI_ISA

// The copies of kernels/unpacked_product.h's table, one per instruction set.
#include <algorithm>
#include <cstring>

#include "kernels/isa/code_panels.h"
#include "kernels/isa/turn.h"
#include "kernels/unpacked_product.h"

namespace sumi::kernels::SUMI_ISA {
namespace {

// Group kGroup of a block's codes, and those behind it up to kEnd: scale * code + offset, which is rounded once.
template <CodeKind kCode, int kGroup, int kEnd>
SUMI_INLINE void unpack_groups(const PanelPointers& p, int v, Vec scale, Vec offset, float* out, int64_t out_row) {
  if constexpr (kGroup < kEnd) {
    const Register codes = load_group<kCode, kGroup>(p, v);
    fma(byte_as_float<0>(codes), scale, offset).store(out);
    fma(byte_as_float<1>(codes), scale, offset).store(out + out_row);
    fma(byte_as_float<2>(codes), scale, offset).store(out + 2 * out_row);
    fma(byte_as_float<3>(codes), scale, offset).store(out + 3 * out_row);
    unpack_groups<kCode, kGroup + 1, kEnd>(p, v, scale, offset, out + 4 * out_row, out_row);
  }
}

template <CodeKind kCode, ScaleKind kScale>
void unpack_codes(const PackedMatrix& w, int64_t panel, int64_t k, int64_t count, int64_t ahead, float* out, int64_t out_row) {
  constexpr int kHalves = halves(kScale) ? 2 : 1, kGroups = 8 / kHalves;
  const Vec zero_point = Vec::set1(static_cast<float>(-w.zero_point));
  PanelPointers p = panel_at<kCode, kScale>(w, panel, k / kBlock);
  for (int64_t block = k / kBlock; block < (k + count) / kBlock; ++block, out += kBlock * out_row) {
    for (int i = 0; i < block_bytes(kCode, kScale); i += 64) prefetch_later(p.block + ahead + i);
    SUMI_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      Vec scale, min = Vec::zero();
      load_scales<kCode, kScale>(p, 0, v, scale, min);
      float* to = out + v * Vec::kWidth;
      unpack_groups<kCode, 0, kGroups>(p, v, scale, has_min(kScale) ? min : scale * zero_point, to, out_row);
      if constexpr (kHalves == 2) {
        load_scales<kCode, kScale>(p, 1, v, scale, min);
        unpack_groups<kCode, kGroups, 8>(p, v, scale, has_min(kScale) ? min : scale * zero_point, to + 16 * out_row, out_row);
      }
    }
    advance<kCode, kScale>(p, block);
  }
}

// Four k at a time, which are two pairs of bf16.
template <CodeKind kCode>
void unpack_floats(const PackedMatrix& w, int64_t panel, int64_t k, int64_t count, int64_t ahead, float* out, int64_t out_row) {
  constexpr int64_t kLines = (kCode == CodeKind::f32 ? 4 : 2) * 4 * kPanel / 64;
  const std::byte* from = w.panel_at(panel);
  const auto store = [&](int64_t at, float* to) {
    SUMI_UNROLL
    for (int n = 0; n < kPanel; n += Vec::kWidth) {
      if constexpr (kCode == CodeKind::f32) {
        Vec::load(reinterpret_cast<const float*>(from) + at * kPanel + n).store(to + n);
      } else if constexpr (kCode == CodeKind::f16) {
        load_f16(from + 2 * (at * kPanel + n)).store(to + n);
      } else {
        const std::byte* pairs = from + 4 * (at / 2 * kPanel + n);
        (at % 2 ? odd_of_pairs(pairs) : even_of_pairs(pairs)).store(to + n);
      }
    }
  };
  int64_t i = k;
  for (; i + 4 <= k + count; i += 4, out += 4 * out_row) {
    for (int64_t line = 0; line < kLines; ++line) prefetch_later(from + (i / 4 * kLines + line) * 64 + ahead);
    SUMI_UNROLL
    for (int j = 0; j < 4; ++j) store(i + j, out + j * out_row);
  }
  for (; i < k + count; ++i, out += out_row) store(i, out);
}

void unpack(const PackedMatrix& w, int64_t panel, int64_t k, int64_t count, int64_t ahead, float* out, int64_t out_row) {
  switch (w.code) {
    case CodeKind::f32: return unpack_floats<CodeKind::f32>(w, panel, k, count, ahead, out, out_row);
    case CodeKind::f16: return unpack_floats<CodeKind::f16>(w, panel, k, count, ahead, out, out_row);
    case CodeKind::bf16: return unpack_floats<CodeKind::bf16>(w, panel, k, count, ahead, out, out_row);
    default: break;
  }
  for_kinds(w, [&]<CodeKind kCode, ScaleKind kScale>() { unpack_codes<kCode, kScale>(w, panel, k, count, ahead, out, out_row); });
}

void group_rows(const float* x, int64_t rows, int64_t k, float* groups) {
  for (; rows > 0; rows -= kFloatGroup, x += kFloatGroup * k, groups += kFloatGroup * k) {
    int64_t i = 0;
#if defined(SUMI_AVX512)
    if (rows >= kFloatGroup)
      for (; i + Vec::kWidth <= k; i += Vec::kWidth)
        for_columns_of_16<Vec::kWidth, kFloatGroup>(
            reinterpret_cast<const uint32_t*>(x + i), k, [&](int64_t column, Register numbers) {
              Vec floats;
              std::memcpy(&floats, &numbers, sizeof floats);
              store_partial(floats, groups + (i + column) * kFloatGroup, kFloatGroup);
            });
#endif
    const int64_t count = std::min(rows, kFloatGroup);
    for (; i < k; ++i)
      for (int64_t r = 0; r < count; ++r) groups[i * kFloatGroup + r] = x[r * k + i];
  }
}

}  // namespace

extern const UnpackKernels kUnpack;
const UnpackKernels kUnpack = {unpack, group_rows};

}  // namespace sumi::kernels::SUMI_ISA

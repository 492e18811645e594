// The copies of kernels/unpacked_product.h's table, one per instruction set.
#include "kernels/isa/code_panels.h"
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

void unpack_floats(const PackedMatrix& w, int64_t panel, int64_t k, int64_t count, int64_t ahead, float* out, int64_t out_row) {
  const std::byte* from = w.panel_at(panel);
  const int64_t bytes = w.code == CodeKind::f32 ? 4 : 2;
  for (int64_t i = 0; i < count; ++i, out += out_row) {
    prefetch_later(from + (k + i) * kPanel * bytes + ahead);
    for (int n = 0; n < kPanel; n += Vec::kWidth) {
      const int64_t at = (k + i) * kPanel + n;
      if (w.code == CodeKind::f32) {
        Vec::load(reinterpret_cast<const float*>(from) + at).store(out + n);
      } else if (w.code == CodeKind::f16) {
        load_f16(from + 2 * at).store(out + n);
      } else {
        const std::byte* pairs = from + 4 * ((k + i) / 2 * kPanel + n);
        ((k + i) % 2 ? odd_of_pairs(pairs) : even_of_pairs(pairs)).store(out + n);
      }
    }
  }
}

void unpack(const PackedMatrix& w, int64_t panel, int64_t k, int64_t count, int64_t ahead, float* out, int64_t out_row) {
  if (!w.quantized()) return unpack_floats(w, panel, k, count, ahead, out, out_row);
  for_kinds(w, [&]<CodeKind kCode, ScaleKind kScale>() { unpack_codes<kCode, kScale>(w, panel, k, count, ahead, out, out_row); });
}

}  // namespace

extern const UnpackKernels kUnpack;
const UnpackKernels kUnpack = {unpack};

}  // namespace sumi::kernels::SUMI_ISA

// Products with f32, f16 and bf16 weights: one fused multiply-add per k, in rising k, for every output. Where the
// processor multiplies bf16 pairs (AVX-512 BF16) activations are rounded to bf16 and k rises two at a time.
#include "kernels/isa/matmul_isa.h"
#include "kernels/isa/simd_int.h"

namespace sumi::kernels::SUMI_ISA {

namespace {

constexpr int kVectors = kPanel / Vec::kWidth;

#define SUMI_UNROLL _Pragma("GCC unroll 16")

template <int kRows>
inline void clear(Vec (&total)[kRows][kVectors]) {
  SUMI_UNROLL
  for (int r = 0; r < kRows; ++r)
    SUMI_UNROLL
    for (int v = 0; v < kVectors; ++v) total[r][v] = Vec::zero();
}

template <int kRows>
inline void store(const MatmulArgs& args, int64_t panel, int64_t row, const Vec (&total)[kRows][kVectors]) {
  for (int r = 0; r < kRows; ++r) store_panel_row(args, args.bias, panel, row + r, total[r]);
}

template <CodeKind kCode, int kRows>
void panel_rows(const MatmulArgs& args, int64_t panel, int64_t row) {
  const int64_t k = args.weight.k;
  const std::byte* w = args.weight.data + static_cast<size_t>(panel) * args.weight.panel_bytes;
  const float* x = args.x + row * k;
  Vec total[kRows][kVectors];
  clear(total);
  for (int64_t i = 0; i < k; ++i) {
    Vec weight[kVectors];
    SUMI_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = i * kPanel + v * Vec::kWidth;
      if constexpr (kCode == CodeKind::f32)
        weight[v] = Vec::load(reinterpret_cast<const float*>(w) + at);
      else
        weight[v] = load_f16(w + 2 * at);
    }
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vec a = Vec::set1(x[r * k + i]);
      SUMI_UNROLL
      for (int v = 0; v < kVectors; ++v) total[r][v] = fma(weight[v], a, total[r][v]);
    }
  }
  store(args, panel, row, total);
}

#if defined(SUMI_BF16)
inline __m512bh as_bf16(Register a) {
  __m512bh r;
  std::memcpy(&r, &a, sizeof r);
  return r;
}

template <int kRows>
void panel_rows_bf16(const MatmulArgs& args, int64_t panel, int64_t row) {
  const int64_t pairs = (args.weight.k + 1) / 2;
  const std::byte* w = args.weight.data + static_cast<size_t>(panel) * args.weight.panel_bytes;
  const uint16_t* x = args.x_bf16 + row * pairs * 2;
  Vec total[kRows][kVectors];
  clear(total);
  for (int64_t i = 0; i < pairs; ++i) {
    const __m512bh weight = as_bf16(load_bytes(w + i * kPanel * 4));
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r) {
      int32_t two;
      std::memcpy(&two, x + (r * pairs + i) * 2, 4);
      total[r][0].v = _mm512_dpbf16_ps(total[r][0].v, as_bf16(splat32(two)), weight);
    }
  }
  store(args, panel, row, total);
}
#else
// A bf16 is the upper half of a float: the even k of a pair is shifted up, the odd one masked.
inline Vec even_of_pairs(const std::byte* p) {
#if defined(SUMI_AVX512)
  return {_mm512_castsi512_ps(_mm512_slli_epi32(load_bytes(p), 16))};
#elif defined(SUMI_AVX2)
  return {_mm256_castsi256_ps(_mm256_slli_epi32(load_bytes(p), 16))};
#else
  Vec r;
  for (int i = 0; i < Vec::kWidth; ++i) {
    uint16_t bits;
    std::memcpy(&bits, p + 4 * i, 2);
    r.v[i] = base::bf16_to_float(bits);
  }
  return r;
#endif
}
inline Vec odd_of_pairs(const std::byte* p) {
#if defined(SUMI_AVX512)
  return {_mm512_castsi512_ps(bit_and(load_bytes(p), splat32(static_cast<int32_t>(0xffff0000))))};
#elif defined(SUMI_AVX2)
  return {_mm256_castsi256_ps(bit_and(load_bytes(p), splat32(static_cast<int32_t>(0xffff0000))))};
#else
  return even_of_pairs(p + 2);
#endif
}

template <int kRows>
void panel_rows_bf16(const MatmulArgs& args, int64_t panel, int64_t row) {
  const int64_t k = args.weight.k;
  const std::byte* w = args.weight.data + static_cast<size_t>(panel) * args.weight.panel_bytes;
  const float* x = args.x + row * k;
  Vec total[kRows][kVectors];
  clear(total);
  for (int64_t i = 0; i < k; i += 2) {
    Vec even[kVectors], odd[kVectors];
    SUMI_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      even[v] = even_of_pairs(w + i * kPanel * 2 + v * kRegisterBytes);
      odd[v] = odd_of_pairs(w + i * kPanel * 2 + v * kRegisterBytes);
    }
    const bool pair = i + 1 < k;
    SUMI_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vec a = Vec::set1(x[r * k + i]), b = Vec::set1(pair ? x[r * k + i + 1] : 0.0f);
      SUMI_UNROLL
      for (int v = 0; v < kVectors; ++v) total[r][v] = fma(odd[v], b, fma(even[v], a, total[r][v]));
    }
  }
  store(args, panel, row, total);
}
#endif

template <CodeKind kCode, int kRows>
inline void rows(const MatmulArgs& args, int64_t panel, int64_t row) {
  if constexpr (kCode == CodeKind::bf16)
    panel_rows_bf16<kRows>(args, panel, row);
  else
    panel_rows<kCode, kRows>(args, panel, row);
}

template <CodeKind kCode>
void panels(const MatmulArgs& args, int64_t begin, int64_t end) {
  constexpr int kMostRows = kVectors == 1 ? 12 : 6;
  for (int64_t panel = begin; panel < end; ++panel) {
    int64_t row = 0;
    for (; row + kMostRows <= args.m; row += kMostRows) rows<kCode, kMostRows>(args, panel, row);
    for (; row + 4 <= args.m; row += 4) rows<kCode, 4>(args, panel, row);
    for (; row + 2 <= args.m; row += 2) rows<kCode, 2>(args, panel, row);
    for (; row < args.m; ++row) rows<kCode, 1>(args, panel, row);
  }
}

void matmul(const MatmulArgs& args, int64_t begin, int64_t end) {
  if (args.weight.quantized()) matmul_codes(args, begin, end);
  else matmul_floats(args, begin, end);
}

}  // namespace

void matmul_floats(const MatmulArgs& args, int64_t begin, int64_t end) {
  switch (args.weight.code) {
    case CodeKind::f32: return panels<CodeKind::f32>(args, begin, end);
    case CodeKind::f16: return panels<CodeKind::f16>(args, begin, end);
    default: return panels<CodeKind::bf16>(args, begin, end);
  }
}

#if defined(SUMI_BF16)
constexpr bool kBf16Rows = true;
#else
constexpr bool kBf16Rows = false;
#endif
const MatmulKernels kMatmulKernels = {matmul, quantize_row, kBf16Rows};

}  // namespace sumi::kernels::SUMI_ISA

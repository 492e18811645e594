// Packed weights against the rows they came from, and every instruction set against the naive twin.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/dequantize.h"
#include "kernels/kernel_copies.h"
#include "kernels/matmul_cases.h"

namespace sumi::kernels {

SUMI_EMULATED_COPIES(MatmulKernels, kMatmulKernels)
namespace avx512_amx_emulated { extern const MatmulKernels kMatmulKernels; }

namespace {

const std::vector<Shape3> kShapes = {{1, 16, 256}, {2, 5, 512}, {3, 33, 256}, {7, 48, 768}, {13, 17, 256}, {25, 16, 1024}, {65, 40, 512}};
// Not multiples of 256 (only the types of 32 and the floats take them), or of anything.
const std::vector<Shape3> kShapes32 = {{1, 16, 32}, {5, 40, 96}, {9, 31, 576}};
const std::vector<Shape3> kShapes1 = {{1, 3, 1},   {4, 20, 7},  {11, 18, 33},   {2, 70, 97},
                                      {37, 70, 95}, {17, 33, 64}, {14, 150, 801}, {270, 17, 33}};

std::vector<Shape3> shapes_for(const SourceFormat& format) {
  std::vector<Shape3> shapes = kShapes;
  if (format.block <= 32) shapes.insert(shapes.end(), kShapes32.begin(), kShapes32.end());
  if (format.block == 1) shapes.insert(shapes.end(), kShapes1.begin(), kShapes1.end());
  return shapes;
}

void dequantize(SourceKind kind, const std::byte* row, int64_t k, float* out) {
  switch (kind) {
    case SourceKind::f32: std::memcpy(out, row, static_cast<size_t>(k) * 4); return;
    case SourceKind::f16: return dequantize_f16(row, k, out);
    case SourceKind::bf16: return dequantize_bf16(row, k, out);
    case SourceKind::q4_0: return dequantize_q4_0(row, k, out);
    case SourceKind::q4_1: return dequantize_q4_1(row, k, out);
    case SourceKind::q5_0: return dequantize_q5_0(row, k, out);
    case SourceKind::q5_1: return dequantize_q5_1(row, k, out);
    case SourceKind::q8_0: return dequantize_q8_0(row, k, out);
    case SourceKind::q2_k: return dequantize_q2_k(row, k, out);
    case SourceKind::q3_k: return dequantize_q3_k(row, k, out);
    case SourceKind::q4_k: return dequantize_q4_k(row, k, out);
    case SourceKind::q5_k: return dequantize_q5_k(row, k, out);
    case SourceKind::q6_k: return dequantize_q6_k(row, k, out);
  }
}

TEST(Pack, KeepsEveryWeight) {
  for (const SourceFormat& format : source_formats()) {
    const int64_t n = 21, k = 512;
    const auto rows = random_rows(format, n, k, 1);
    const PackedCase packed(packed_layout(format.kind, n, k), format.kind, rows);
    std::vector<float> expected(static_cast<size_t>(k));
    for (int64_t r = 0; r < n; ++r) {
      dequantize(format.kind, rows.data() + static_cast<size_t>(r) * rows.size() / n, k, expected.data());
      for (int64_t i = 0; i < k; ++i) {
        const float want = expected[static_cast<size_t>(i)], got = packed_weight_at(packed.matrix, r, i);
        ASSERT_NEAR(got, want, 1e-6f * (1 + std::fabs(want))) << format.name << " row " << r << " column " << i;
      }
    }
  }
}

TEST(Pack, ConvertsToFloats) {
  for (const SourceFormat& format : source_formats()) {
    const int64_t n = 18, k = 256;
    const auto rows = random_rows(format, n, k, 2);
    std::vector<float> expected(static_cast<size_t>(k));
    for (CodeKind code : {CodeKind::f32, CodeKind::bf16}) {
      const PackedCase packed(packed_layout_as(code, n, k), format.kind, rows);
      for (int64_t r = 0; r < n; ++r) {
        dequantize(format.kind, rows.data() + static_cast<size_t>(r) * rows.size() / n, k, expected.data());
        for (int64_t i = 0; i < k; ++i) {
          const float want = expected[static_cast<size_t>(i)];
          const float rounded = code == CodeKind::f32 ? want : base::bf16_to_float(base::float_to_bf16(want));
          ASSERT_EQ(packed_weight_at(packed.matrix, r, i), rounded) << format.name;
        }
      }
    }
  }
}

TEST(Pack, RefusesPartOfABlock) {
  EXPECT_THROW(packed_layout(SourceKind::q4_0, 16, 33), Error);
  EXPECT_THROW(packed_layout(SourceKind::q4_k, 16, 288), Error);
}

class MatmulOnEachIsa : public testing::TestWithParam<KernelCopy<MatmulKernels>> {};

void run(const MatmulKernels& kernels, const PackedMatrix& matrix, Activations& a, int64_t m, const float* bias,
         std::vector<float>& fast, std::vector<float>& naive) {
  MatmulArgs args;
  args.weight = matrix;
  args.m = m;
  args.x = a.x.data();
  const bool bf16 = matrix.code == CodeKind::bf16 && !matrix.exact && (kernels.bf16_row || kernels.bf16_tile_row);
  if (bf16) args.x_bf16 = a.bf16.data();
  a.quantize(kernels, args);
  args.bias = bias;
  args.ldy = matrix.n + 3;
  fast.assign(static_cast<size_t>(m * args.ldy), -77);
  naive.assign(static_cast<size_t>(m * args.ldy), -77);
  args.y = fast.data();
  kernels.matmul(args, 0, matrix.panels());
  args.y = naive.data();
  if (args.q.group_factors) {  // the twin wants rows apart
    args.q = a.quantized();
    for (int64_t r = 0; r < m; ++r) kernels.quantize_row(a.x.data() + r * matrix.k, matrix.k, r, args.q);
  }
  matmul_naive(args);
}

TEST_P(MatmulOnEachIsa, EqualsTheNaiveTwin) {
  const MatmulKernels& kernels = *GetParam().table;
  for (const SourceFormat& format : source_formats())
    for (const Shape3& s : shapes_for(format)) {
      const PackedCase packed(packed_layout(format.kind, s.n, s.k), format.kind, random_rows(format, s.n, s.k, 3));
      Activations a(s.m, s.k, 4);
      const std::vector<float> bias(static_cast<size_t>(s.n), 0.25f);
      std::vector<float> fast, naive;
      run(kernels, packed.matrix, a, s.m, bias.data(), fast, naive);
      float largest = 0;
      for (float v : naive) largest = std::max(largest, std::fabs(v));
      for (size_t i = 0; i < fast.size(); ++i)
        ASSERT_NEAR(fast[i], naive[i], 2e-5f * largest)
            << format.name << " m " << s.m << " n " << s.n << " k " << s.k << " at " << i;
    }
}

// The promise of bit-identical text: a row's outputs do not depend on the rows computed with it.
TEST_P(MatmulOnEachIsa, ARowAloneGivesTheSameBits) {
  const MatmulKernels& kernels = *GetParam().table;
  for (const SourceFormat& format : source_formats()) {
    const int64_t m = 29, n = 35, k = 512;
    const PackedCase packed(packed_layout(format.kind, n, k), format.kind, random_rows(format, n, k, 5));
    Activations a(m, k, 6);
    std::vector<float> all, one, unused;
    run(kernels, packed.matrix, a, m, nullptr, all, unused);
    for (int64_t r = 0; r < m; ++r) {
      Activations single(1, k, 0);
      std::copy_n(a.x.begin() + r * k, k, single.x.begin());
      std::copy_n(a.bf16.begin() + r * k, k, single.bf16.begin());
      run(kernels, packed.matrix, single, 1, nullptr, one, unused);
      ASSERT_EQ(0, std::memcmp(one.data(), all.data() + r * (n + 3), static_cast<size_t>(n) * 4))
          << format.name << " row " << r;
    }
  }
}

// Two bytes for a weight in place of four, and otherwise the f32 product to the last bit.
TEST_P(MatmulOnEachIsa, ExactWeightsGiveTheBitsOfF32) {
  const MatmulKernels& kernels = *GetParam().table;
  for (const SourceFormat& format : source_formats()) {
    if (format.kind != SourceKind::f16 && format.kind != SourceKind::bf16) continue;
    for (const Shape3& s : shapes_for(format)) {
      const auto weights = random_rows(format, s.n, s.k, 7);
      const PackedCase wide(packed_layout_as(CodeKind::f32, s.n, s.k), format.kind, weights);
      PackedCase narrow(packed_layout(format.kind, s.n, s.k), format.kind, weights);
      narrow.matrix.exact = true;
      Activations a(s.m, s.k, 8);
      std::vector<float> want, got, unused;
      run(kernels, wide.matrix, a, s.m, nullptr, want, unused);
      run(kernels, narrow.matrix, a, s.m, nullptr, got, unused);
      ASSERT_EQ(0, std::memcmp(want.data(), got.data(), want.size() * 4))
          << format.name << " m " << s.m << " n " << s.n << " k " << s.k;
    }
  }
}

// The largest codes and activations everywhere: sums that would overflow 16 bits show.
TEST_P(MatmulOnEachIsa, SurvivesExtremeCodes) {
  const MatmulKernels& kernels = *GetParam().table;
  for (const SourceFormat& format : source_formats()) {
    if (format.block == 1) continue;
    for (int fill : {0x00, 0x7f, 0x80, 0xff}) {
      const int64_t n = 16, k = 512, m = 5;
      auto rows = random_rows(format, n, k, 7);
      for (size_t at = 0; at < rows.size(); at += static_cast<size_t>(format.block_bytes)) {
        std::vector<std::byte> halves;
        for (int o : format.half_offsets)
          for (int i : {0, 1}) halves.push_back(rows[at + static_cast<size_t>(o + i)]);
        std::fill_n(rows.begin() + static_cast<std::ptrdiff_t>(at), format.block_bytes, static_cast<std::byte>(fill));
        size_t next = 0;
        for (int o : format.half_offsets)
          for (int i : {0, 1}) rows[at + static_cast<size_t>(o + i)] = halves[next++];
      }
      const PackedCase packed(packed_layout(format.kind, n, k), format.kind, rows);
      Activations a(m, k, 8);
      for (size_t i = 0; i < a.x.size(); ++i) a.x[i] = i / static_cast<size_t>(k) % 2 ? -1.0f : 1.0f;
      std::vector<float> fast, naive;
      run(kernels, packed.matrix, a, m, nullptr, fast, naive);
      float largest = 1e-3f;
      for (int64_t r = 0; r < m; ++r)
        for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(naive[static_cast<size_t>(r * (n + 3) + i)]));
      for (size_t i = 0; i < fast.size(); ++i)
        ASSERT_NEAR(fast[i], naive[i], 3e-5f * largest) << format.name << " fill " << fill;
    }
  }
}

TEST(QuantizeRow, IsTheSameOnEveryIsa) {
  const int64_t k = 256;
  Activations first(1, k, 9);
  first.x[3] = 50;
  for (int64_t i = 64; i < 96; ++i) first.x[static_cast<size_t>(i)] = 0;
  matmul_kernels_for(base::Isa::scalar).quantize_row(first.x.data(), k, 0, first.quantized());
  EXPECT_EQ(first.codes[3], 127);
  EXPECT_EQ(first.scales[2], 0.0f);
  for (base::Isa isa : base::runnable_isas()) {
    Activations a = first;
    std::fill(a.codes.begin(), a.codes.end(), 0);
    matmul_kernels_for(isa).quantize_row(a.x.data(), k, 0, a.quantized());
    EXPECT_EQ(a.codes, first.codes) << base::isa_name(isa);
    EXPECT_EQ(a.scales, first.scales);
    EXPECT_EQ(a.sums, first.sums);
    EXPECT_EQ(a.scaled_sums, first.scaled_sums);
  }
}

std::vector<KernelCopy<MatmulKernels>> copies() {
  auto copies = kernel_copies<MatmulKernels>(matmul_kernels_for, avx512_emulated::kMatmulKernels,
                                             avx512_bf16_emulated::kMatmulKernels);
  copies.push_back({"avx512_amx_emulated", &avx512_amx_emulated::kMatmulKernels});
  return copies;
}

INSTANTIATE_TEST_SUITE_P(Isas, MatmulOnEachIsa, testing::ValuesIn(copies()),
                         [](const auto& info) { return info.param.name; });

TEST(NarrowestCode, HoldsEveryFloatAsItIs) {
  const auto code = [](float value) {
    std::vector<float> many(9000, 0.5f);  // which all three hold
    many[8500] = value;
    return narrowest_code(reinterpret_cast<const std::byte*>(many.data()), 9000);
  };
  for (const float value : {0.0f, -0.0f, 1.0f, -255.0f, 0x1p-130f, 0x1.fep127f, INFINITY, NAN}) EXPECT_EQ(code(value), CodeKind::bf16) << value;
  for (const float value : {257.0f, 65504.0f, -0x1.ff8p-15f, 0x1.01p-14f}) EXPECT_EQ(code(value), CodeKind::f16) << value;
  for (const float value : {0.1f, 2049.0f, 65505.0f, 0x1.01p16f, 0x1.ffcp-15f, 0x1.01p-24f}) EXPECT_EQ(code(value), CodeKind::f32) << value;
}

}  // namespace
}  // namespace sumi::kernels

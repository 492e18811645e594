// Products in bf16 by tiles and by vectors, on the hardware where there is some and emulated, against the naive twin.
#include "kernels/bf16_product.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/half.h"
#include "base/threads.h"
#include "kernels/naive.h"
#include "kernels/random_values.h"

namespace sumi::kernels {

namespace avx512_amx_emulated { extern const Bf16ProductKernels kBf16Product; }
namespace avx512_bf16_emulated { extern const Bf16ProductKernels kBf16Product; }

namespace {

struct Case {
  bool a_turned, b_turned, accumulate, narrow;
  int64_t m, n, k;
  std::string name() const {
    return fmt::format("m {} n {} k {} turned {} {} accumulate {} bf16 {}", m, n, k, a_turned, b_turned, accumulate,
                       narrow);
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const int64_t sizes[][3] = {{1, 1, 1}, {16, 16, 32}, {17, 33, 65}, {32, 64, 96}, {70, 45, 37}, {33, 15, 1100}};
  for (const auto& s : sizes)
    for (int flags = 0; flags < 16; ++flags)
      all.push_back({(flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0, (flags & 8) != 0, s[0], s[1], s[2]});
  return all;
}

// A factor with random numbers, rounded, and rows that are further apart than they are long.
struct Factor {
  Factor(int64_t outer, int64_t k, bool outer_contiguous, bool narrow, uint32_t seed) : shape{} {
    const int64_t width = outer_contiguous ? outer : k, count = outer_contiguous ? k : outer, stride = width + 3;
    wide = uniform_values(count * stride, seed);
    for (const float value : wide) bits.push_back(base::float_to_bf16(value));
    shape = {narrow ? nullptr : wide.data(), narrow ? bits.data() : nullptr, outer_contiguous, outer, k, stride};
    for (int64_t r = 0; r < count; ++r)
      for (int64_t i = 0; i < width; ++i)
        rounded.push_back(base::bf16_to_float(bits[static_cast<size_t>(r * stride + i)]));
  }
  std::vector<float> wide, rounded;
  std::vector<uint16_t> bits;
  ProductFactor shape;
};

// product(a, b, c, ldc, accumulate) over all cases.
template <class Product>
void check_product(const Product& product) {
  for (const Case& s : cases()) {
    const Factor a(s.m, s.k, s.a_turned, s.narrow, 1), b(s.n, s.k, !s.b_turned, s.narrow, 2);
    const int64_t ldc = s.n + 5;
    auto got = uniform_values(s.m * ldc, 3);
    const auto before = got;
    std::vector<float> want;
    for (int64_t r = 0; r < s.m; ++r) want.insert(want.end(), got.begin() + r * ldc, got.begin() + r * ldc + s.n);
    if (!s.accumulate)  // must not be read
      for (int64_t r = 0; r < s.m; ++r) std::fill_n(got.begin() + r * ldc, s.n, NAN);
    product(a.shape, b.shape, got.data(), ldc, s.accumulate);
    naive::matmul(s.a_turned, s.b_turned, s.m, s.n, s.k, 1, a.rounded.data(), b.rounded.data(), s.accumulate ? 1 : 0,
                  want.data());
    for (int64_t r = 0; r < s.m; ++r)
      for (int64_t i = 0; i < ldc; ++i) {
        const auto at = static_cast<size_t>(r * ldc + i);
        if (i < s.n) ASSERT_NEAR(got[at], want[static_cast<size_t>(r * s.n + i)], 1e-4) << s.name();
        else ASSERT_EQ(got[at], before[at]) << s.name() << ": written beyond the row";
      }
  }
}

void check_kernels(const Bf16ProductKernels& kernels) {
  check_product([&](const ProductFactor& a, const ProductFactor& b, float* c, int64_t ldc, bool accumulate) {
    const auto pack = [&](const ProductFactor& f, bool as_b) {
      // Whatever pack leaves is no number.
      std::vector<std::byte> out(static_cast<size_t>(kernels.packed_bytes(f.outer, f.k, as_b)), std::byte{0xff});
      kernels.pack(f, as_b, 0, kernels.packed_parts(f, as_b), out.data());
      return out;
    };
    const auto pa = pack(a, false), pb = pack(b, true);
    kernels.multiply({pa.data(), pb.data(), a.outer, b.outer, kernels.steps(a.k), c, ldc, accumulate}, 0,
                     kernels.strips(a.outer, false), 0, kernels.strips(b.outer, true));
  });
}

TEST(Bf16Product, EmulatedTiles) { check_kernels(avx512_amx_emulated::kBf16Product); }
TEST(Bf16Product, EmulatedVectors) { check_kernels(avx512_bf16_emulated::kBf16Product); }

TEST(Bf16Product, EveryCopyThatRunsHere) {
  for (const base::Isa isa : base::runnable_isas()) {
    SCOPED_TRACE(base::isa_name(isa));
    if (const Bf16ProductKernels& kernels = bf16_product_kernels_for(isa); kernels.multiply) check_kernels(kernels);
  }
}

TEST(Bf16Product, RoundsAsBaseDoes) {
  const float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> row = {0, -0.0f, 1, 1.00390625f, 1.01171875f, -1.00390625f, 3.4e38f, -3.4e38f, kInfinity, -kInfinity, NAN,
                            1e-40f, 65535, 1.0039063f, std::bit_cast<float>(0x7f800001u), std::bit_cast<float>(0xffffffffu)};
  row.resize(static_cast<size_t>(kProductStep), 0.1f);
  for (const base::Isa isa : base::runnable_isas()) {
    const Bf16ProductKernels& kernels = bf16_product_kernels_for(isa);
    if (!kernels.pack) continue;
    std::vector<std::byte> out(static_cast<size_t>(kernels.packed_bytes(1, kProductStep, false)), std::byte{77});
    kernels.pack({.f32 = row.data(), .outer = 1, .k = kProductStep, .stride = kProductStep}, false, 0, 1, out.data());
    for (size_t i = 0; i < row.size(); ++i) {
      float got = 0;
      if (kernels.number_bytes == 4) {
        std::memcpy(&got, out.data() + 4 * i, 4);
      } else {
        uint16_t bits = 0;
        std::memcpy(&bits, out.data() + 2 * i, 2);
        got = base::bf16_to_float(bits);
      }
      const bool flushed = row[i] != 0 && std::fabs(row[i]) < std::numeric_limits<float>::min();
      if (flushed && got == 0) continue;  // the instruction takes them for zeros
      const float want = base::bf16_to_float(base::float_to_bf16(row[i]));
      if (std::isnan(row[i])) EXPECT_TRUE(std::isnan(got)) << base::isa_name(isa) << " at " << i;
      else EXPECT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(want)) << base::isa_name(isa) << " at " << i;
    }
  }
}

TEST(Bf16Product, Hardware) {
  if (!has_bf16_product()) GTEST_SKIP() << "this processor does not multiply bf16";
  check_product(bf16_product);
}

TEST(Bf16Product, SameBitsOnAnyNumberOfThreads) {
  if (!has_bf16_product()) GTEST_SKIP() << "this processor does not multiply bf16";
  constexpr int64_t kM = 330, kN = 290, kK = 700;
  const auto a = uniform_values(kM * kK, 7), b = uniform_values(kN * kK, 8);
  const auto product = [&](int threads) {
    const int before = base::num_threads();
    base::set_num_threads(threads);
    std::vector<float> c(static_cast<size_t>(kM * kN));
    bf16_product({a.data(), nullptr, false, kM, kK, kK}, {b.data(), nullptr, true, kN, kK, kN}, c.data(), kN, false);
    base::set_num_threads(before);
    return c;
  };
  const auto alone = product(1);
  EXPECT_EQ(alone, product(2));
  EXPECT_EQ(alone, product(3));
}

// Larger than what is laid out at a time, along each axis.
TEST(Bf16Product, InParts) {
  if (!has_bf16_product()) GTEST_SKIP() << "this processor does not multiply bf16";
  const int64_t sizes[][3] = {{20, 24, 9000}, {900, 800, 8192}, {40, 70000, 100}, {70000, 40, 100}};
  for (const auto& s : sizes) {
    const int64_t m = s[0], n = s[1], k = s[2];
    const auto a = uniform_values(m * k, 4), b = uniform_values(n * k, 5);
    std::vector<float> c(static_cast<size_t>(m * n));
    bf16_product({a.data(), nullptr, false, m, k, k}, {b.data(), nullptr, false, n, k, k}, c.data(), n, false);
    std::mt19937 generator(6);
    for (int probe = 0; probe < 3000; ++probe) {
      const auto r = static_cast<int64_t>(generator() % static_cast<uint64_t>(m));
      const auto i = static_cast<int64_t>(generator() % static_cast<uint64_t>(n));
      double want = 0;
      for (int64_t p = 0; p < k; ++p) {
        const auto round = [](float x) { return double{base::bf16_to_float(base::float_to_bf16(x))}; };
        want += round(a[static_cast<size_t>(r * k + p)]) * round(b[static_cast<size_t>(i * k + p)]);
      }
      ASSERT_NEAR(c[static_cast<size_t>(r * n + i)], want, 1e-3) << m << " " << n << " " << k;
    }
  }
}

}  // namespace
}  // namespace sumi::kernels

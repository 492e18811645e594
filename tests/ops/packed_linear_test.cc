// Packed weights and the key/value cache, against the plain operations.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/half.h"
#include "base/threads.h"
#include "ops/attention.h"
#include "ops/cached_attention.h"
#include "ops/linear.h"

namespace sumi::ops {
namespace {

Tensor random_tensor(Shape shape, uint32_t seed, float size = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, size);
  Tensor t = Tensor::empty(std::move(shape));
  for (int64_t i = 0; i < t.numel(); ++i) t.f32()[i] = normal(random);
  return t;
}

// Q8_0 blocks of an f32 [N, K], rounded to nearest.
Tensor to_q8_0(const Tensor& weight) {
  Tensor out = Tensor::empty(weight.shape(), DType::q8_0);
  for (int64_t b = 0; b < weight.numel() / 32; ++b) {
    const float* from = weight.f32() + b * 32;
    float largest = 0;
    for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(from[i]));
    const uint16_t half = base::float_to_f16(largest / 127);
    const float scale = base::f16_to_float(half);
    std::byte* to = out.bytes() + b * 34;
    std::memcpy(to, &half, 2);
    for (int i = 0; i < 32; ++i)
      to[2 + i] = static_cast<std::byte>(static_cast<int8_t>(std::lround(scale > 0 ? from[i] / scale : 0)));
  }
  return out;
}

Tensor from_q8_0(const Tensor& codes) {
  Tensor out = Tensor::empty(codes.shape());
  for (int64_t i = 0; i < out.numel(); ++i) {
    const std::byte* block = codes.bytes() + i / 32 * 34;
    uint16_t half;
    std::memcpy(&half, block, 2);
    out.f32()[i] = base::f16_to_float(half) * static_cast<float>(static_cast<int8_t>(block[2 + i % 32]));
  }
  return out;
}

void expect_close(const Tensor& got, const Tensor& want, float tolerance) {
  ASSERT_EQ(got.shape(), want.shape());
  float largest = 1e-6f;
  for (int64_t i = 0; i < want.numel(); ++i) largest = std::max(largest, std::fabs(want.f32()[i]));
  for (int64_t i = 0; i < want.numel(); ++i)
    ASSERT_NEAR(got.f32()[i], want.f32()[i], tolerance * largest) << "at " << i;
}

TEST(PackedLinear, EqualsLinear) {
  const Tensor x = random_tensor({2, 5, 96}, 1), bias = random_tensor({70}, 2);
  const Tensor a = random_tensor({40, 96}, 3), b = random_tensor({30, 96}, 4);
  Tensor both = Tensor::empty({70, 96});
  std::memcpy(both.f32(), a.f32(), static_cast<size_t>(a.nbytes()));
  std::memcpy(both.f32() + a.numel(), b.f32(), static_cast<size_t>(b.nbytes()));
  const Tensor want = linear(x, both, bias);
  expect_close(linear(x, PackedWeight({a, b}, PackedWeight::Compute::f32), bias), want, 1e-5f);
  expect_close(linear(x, PackedWeight({a, b}, PackedWeight::Compute::bf16), bias), want, 1e-2f);
  const PackedWeight mixed({to_q8_0(a), b}, PackedWeight::Compute::stored);
  EXPECT_EQ(mixed.n(), 70);
  expect_close(linear(x, mixed, bias), want, 1e-2f);
}

// What `--dtype f32` computes with f16 and bf16 checkpoints, and with those in f32 that were made from them: half the memory,
// the same bits.
TEST(PackedLinear, ComputesInF32WithNarrowWeightsAsTheyAre) {
  const Tensor bias = random_tensor({50}, 22);
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const Tensor stored = random_tensor({50, 97}, 23).to(dtype), floats = stored.to(DType::f32);
    Tensor mixed = floats.clone();  // but for one number
    mixed.f32()[49 * 97] = 0.1f;
    const PackedWeight wide({mixed}, PackedWeight::Compute::f32);
    EXPECT_EQ(wide.bytes(), 64u * 97 * 4);
    for (const auto& [weight, compute] : {std::pair{stored, PackedWeight::Compute::f32},
                                          {floats, PackedWeight::Compute::f32},
                                          {floats, PackedWeight::Compute::stored}}) {
      const PackedWeight narrow({weight}, compute);
      EXPECT_LT(narrow.bytes(), wide.bytes() * 3 / 5);
      for (const int64_t rows : {1, 9, 30}) {
        const Tensor x = random_tensor({rows, 97}, 21), got = linear(x, narrow, bias), want = linear(x, wide, bias);
        for (int64_t i = 0; i < want.numel(); ++i)
          if (i % 50 != 49) {
            ASSERT_EQ(got.f32()[i], want.f32()[i]) << rows << " rows, output " << i;
          }
      }
    }
  }
}

// And with codes: the bits of the floats that they stand for, in a fraction of the memory.
TEST(PackedLinear, ComputesInF32WithCodesAsTheyAre) {
  const Tensor bias = random_tensor({70}, 24), codes = to_q8_0(random_tensor({70, 640}, 25));
  const PackedWeight narrow({codes}, PackedWeight::Compute::f32), wide({from_q8_0(codes)}, PackedWeight::Compute::f32);
  EXPECT_LT(narrow.bytes(), wide.bytes() / 3);
  for (const int64_t rows : {1, 3, 9, 50}) {
    const Tensor x = random_tensor({rows, 640}, 26);
    const Tensor got = linear(x, narrow, bias), want = linear(x, wide, bias);
    EXPECT_EQ(0, std::memcmp(got.f32(), want.f32(), static_cast<size_t>(want.nbytes()))) << rows << " rows";
  }
}

TEST(PackedLinear, DoesNotDependOnThreadsOrRows) {
  const Tensor x = random_tensor({37, 256}, 5);
  const PackedWeight weight({to_q8_0(random_tensor({100, 256}, 6))}, PackedWeight::Compute::stored);
  const int before = base::num_threads();
  base::set_num_threads(1);
  const Tensor one = linear(x, weight);
  base::set_num_threads(3);
  const Tensor three = linear(x, weight);
  const Tensor alone = linear(x.rows(17, 1), weight);
  base::set_num_threads(before);
  EXPECT_EQ(0, std::memcmp(one.f32(), three.f32(), static_cast<size_t>(one.nbytes())));
  EXPECT_EQ(0, std::memcmp(one.f32() + 17 * 100, alone.f32(), 400));
}

TEST(PackedLinear, NamesWhatDoesNotFit) {
  EXPECT_THROW(PackedWeight({}, PackedWeight::Compute::f32), Error);
  EXPECT_THROW(PackedWeight({random_tensor({4, 8}, 1), random_tensor({4, 9}, 1)}, PackedWeight::Compute::f32), Error);
  EXPECT_THROW(PackedWeight({Tensor::empty({4, 8}, DType::i32)}, PackedWeight::Compute::stored), Error);
  const PackedWeight weight({random_tensor({4, 8}, 1)}, PackedWeight::Compute::f32);
  EXPECT_THROW(linear(random_tensor({2, 9}, 1), weight), Error);
  EXPECT_THROW(linear(random_tensor({2, 8}, 1), weight, random_tensor({5}, 1)), Error);
}

struct CacheCase {
  int64_t length, heads, kv_heads, head_dim, window;
  float softcap;
  bool alibi;
};

class CachedAttention : public testing::TestWithParam<CacheCase> {};

// In bf16 the weights are rounded, too, and the scaled queries.
void expect_attention_however_cut(const CacheCase& c, DType dtype, float tolerance) {
  const auto values = [&](int64_t heads, unsigned seed) {
    return random_tensor({c.length, heads, c.head_dim}, seed).to(dtype).to(DType::f32);
  };
  const Tensor q = values(c.heads, 7), k = values(c.kv_heads, 8), v = values(c.kv_heads, 9);
  AttentionOptions options;
  options.scale = 1 / std::sqrt(static_cast<float>(c.head_dim));
  options.window = c.window;
  options.softcap = c.softcap;
  if (c.alibi)
    for (int64_t h = 0; h < c.heads; ++h) options.alibi_slopes.push_back(std::exp2(-static_cast<float>(h + 1)));
  const auto batch = [](const Tensor& t) { return t.view({1, t.size(0), t.size(1), t.size(2)}); };
  const Tensor want = attention(batch(q), batch(k), batch(v), options).view(q.shape());

  Tensor first;
  for (int64_t step : {c.length, int64_t{7}, int64_t{1}}) {
    KvCache cache(c.kv_heads, c.head_dim, dtype);
    Tensor got = Tensor::empty(q.shape());
    for (int64_t at = 0; at < c.length; at += step) {
      const int64_t count = std::min(step, c.length - at);
      cache.append(k.rows(at, count), v.rows(at, count));
      options.query_offset = at;
      const Tensor part = cached_attention(q.rows(at, count), cache, options);
      std::memcpy(got.f32() + at * c.heads * c.head_dim, part.f32(), static_cast<size_t>(part.nbytes()));
    }
    expect_close(got, want, tolerance);
    if (!first.defined()) first = got;
    EXPECT_EQ(0, std::memcmp(first.f32(), got.f32(), static_cast<size_t>(got.nbytes()))) << "in steps of " << step;
  }
}

TEST_P(CachedAttention, EqualsAttentionHoweverCut) { expect_attention_however_cut(GetParam(), DType::f32, 2e-5f); }

TEST_P(CachedAttention, InBf16EqualsAttentionHoweverCut) {
  if (!bf16_cache_runs()) GTEST_SKIP() << "this processor multiplies no bf16";
  expect_attention_however_cut(GetParam(), DType::bf16, 1e-2f);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CachedAttention,
                         testing::Values(CacheCase{1, 1, 1, 8, 0, 0, false}, CacheCase{130, 6, 2, 64, 0, 0, false},
                                         CacheCase{200, 4, 4, 20, 0, 0, false}, CacheCase{150, 3, 1, 33, 70, 0, false},
                                         CacheCase{90, 4, 2, 16, 5, 20, false}, CacheCase{140, 8, 8, 24, 0, 0, true}));

TEST(KvCache, CopiesGoOnApart) {
  KvCache cache(2, 16);
  const Tensor k = random_tensor({100, 2, 16}, 1), v = random_tensor({100, 2, 16}, 2), q = random_tensor({1, 4, 16}, 3);
  AttentionOptions options;
  options.query_offset = 99;
  cache.append(k, v);
  const Tensor want = cached_attention(q, cache, options);
  cache.truncate(80);
  KvCache copy = cache;
  copy.append(v.rows(0, 20), k.rows(0, 20));
  const Tensor other = cached_attention(q, copy, options);
  cache.append(k.rows(80, 20), v.rows(80, 20));
  const Tensor got = cached_attention(q, cache, options);
  EXPECT_EQ(0, std::memcmp(got.f32(), want.f32(), static_cast<size_t>(got.nbytes())));
  const Tensor again = cached_attention(q, copy, options);
  EXPECT_EQ(0, std::memcmp(other.f32(), again.f32(), static_cast<size_t>(got.nbytes())));
  EXPECT_NE(0, std::memcmp(other.f32(), want.f32(), static_cast<size_t>(got.nbytes())));
  EXPECT_EQ(cache.pages()[0], copy.pages()[0]) << "the full page is shared";
}

TEST(KvCache, TruncatesAndGoesOn) {
  KvCache cache(2, 16);
  const Tensor k = random_tensor({100, 2, 16}, 1), v = random_tensor({100, 2, 16}, 2), q = random_tensor({1, 4, 16}, 3);
  cache.append(k, v);
  AttentionOptions options;
  options.query_offset = 69;
  const Tensor want = cached_attention(q, cache, options);
  cache.append(v, k);
  cache.truncate(40);
  EXPECT_EQ(cache.length(), 40);
  cache.append(k.rows(40, 30), v.rows(40, 30));
  const Tensor got = cached_attention(q, cache, options);
  EXPECT_EQ(0, std::memcmp(got.f32(), want.f32(), static_cast<size_t>(got.nbytes())));
  EXPECT_THROW(cache.truncate(71), Error);
  options.query_offset = 70;
  EXPECT_THROW(cached_attention(q, cache, options), Error);
  EXPECT_THROW(cache.append(k, random_tensor({100, 2, 15}, 1)), Error);
}

}  // namespace
}  // namespace sumi::ops

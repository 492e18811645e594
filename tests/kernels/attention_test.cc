// Attention over pages in bf16, in tiles and in pairs.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/half.h"
#include "kernels/attention.h"
#include "kernels/random_values.h"

namespace sumi::kernels {

namespace avx512_bf16_emulated { extern const CachedBf16Attention kBf16PairAttention; }
namespace avx512_amx_emulated { extern const CachedBf16Attention kBf16TileAttention; }

namespace {

struct Case {
  int64_t head_dim, length, window;
  bool alibi;
};

// Rows at the last positions of a cache of random keys and values.
class Attention {
 public:
  explicit Attention(const Case& c) : c_(c), q_(values(kAttentionRows, 1)), k_(values(c.length, 2)), v_(values(c.length, 3)) {
    const int64_t pages = (c.length + kAttentionPage - 1) / kAttentionPage, keys = attention_keys_size(c.head_dim),
                  size = attention_values_size(c.head_dim);
    key_pages_.assign(static_cast<size_t>(pages * keys * kAttentionPage), 0);
    value_pages_.assign(static_cast<size_t>(pages * size * kAttentionPage), 0);
    for (int64_t s = 0; s < c.length; ++s)
      for (int64_t d = 0; d < c.head_dim; ++d) {
        const int64_t page = s / kAttentionPage, slot = s % kAttentionPage;
        key_pages_[static_cast<size_t>(page * keys * kAttentionPage + (d / 2 * kAttentionPage + slot) * 2 + d % 2)] =
            base::float_to_bf16(k_[static_cast<size_t>(s * c.head_dim + d)]);
        value_pages_[static_cast<size_t>(page * size * kAttentionPage + (slot / 2 * size + d) * 2 + slot % 2)] =
            base::float_to_bf16(v_[static_cast<size_t>(s * c.head_dim + d)]);
      }
    for (int64_t p = 0; p < pages; ++p) {
      keys_.push_back(key_pages_.data() + p * keys * kAttentionPage);
      values_.push_back(value_pages_.data() + p * size * kAttentionPage);
    }
  }

  // Rows [begin, end), together.
  std::vector<float> run(CachedBf16Attention kernel, int begin, int end) {
    std::vector<float> out(static_cast<size_t>((end - begin) * c_.head_dim), NAN);
    std::vector<float> memory(static_cast<size_t>(attention_scratch(c_.head_dim)) + 16, NAN);
    CachedAttentionArgs args;
    args.rows = end - begin;
    args.head_dim = c_.head_dim;
    args.keys = keys_.data();
    args.values = values_.data();
    args.scratch = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64 / sizeof(float);
    for (int r = begin; r < end; ++r) {
      args.q[r - begin] = q_.data() + r * c_.head_dim;
      args.out[r - begin] = out.data() + (r - begin) * c_.head_dim;
      args.last[r - begin] = last(r);
      args.first[r - begin] = first(r);
      args.slope[r - begin] = slope(r);
    }
    kernel(args);
    return out;
  }

  // In double, from the formula.
  double expected(int row, int64_t d) const {
    double total = 0, sum = 0;
    for (int64_t s = first(row); s <= last(row); ++s) {
      double score = slope(row) * static_cast<double>(s - last(row));
      for (int64_t i = 0; i < c_.head_dim; ++i)
        score += double{q_[static_cast<size_t>(row * c_.head_dim + i)]} * k_[static_cast<size_t>(s * c_.head_dim + i)];
      total += std::exp(score);
      sum += std::exp(score) * v_[static_cast<size_t>(s * c_.head_dim + d)];
    }
    return sum / total;
  }

 private:
  std::vector<float> values(int64_t rows, uint32_t seed) const {
    std::vector<float> v = normal_values(rows * c_.head_dim, seed);
    for (float& x : v) x = base::bf16_to_float(base::float_to_bf16(x * (seed == 1 ? 0.3f : 1)));
    return v;
  }
  int64_t last(int row) const { return c_.length - kAttentionRows + row; }
  int64_t first(int row) const { return c_.window > 0 ? std::max<int64_t>(0, last(row) - c_.window + 1) : 0; }
  float slope(int row) const { return c_.alibi ? 0.03f * static_cast<float>(row + 1) : 0; }

  Case c_;
  std::vector<float> q_, k_, v_;
  std::vector<uint16_t> key_pages_, value_pages_;
  std::vector<const void*> keys_, values_;
};

std::vector<CachedBf16Attention> kernels() {
  std::vector<CachedBf16Attention> all = {avx512_bf16_emulated::kBf16PairAttention,
                                          avx512_amx_emulated::kBf16TileAttention};
  for (const base::Isa isa : base::runnable_isas())
    if (const CachedBf16Attention kernel = cached_bf16_attention_for(isa)) all.push_back(kernel);
  return all;
}

const std::vector<Case> kCases = {{64, 200, 0, false}, {128, 64, 0, false}, {33, 130, 40, false}, {16, 90, 0, true}, {80, 32, 0, false}};

TEST(CachedBf16Attention, EqualsTheFormula) {
  for (const Case& c : kCases)
    for (const CachedBf16Attention kernel : kernels()) {
      Attention attention(c);
      const std::vector<float> out = attention.run(kernel, 0, kAttentionRows);
      for (int r = 0; r < kAttentionRows; ++r)
        for (int64_t d = 0; d < c.head_dim; ++d)
          ASSERT_NEAR(out[static_cast<size_t>(r * c.head_dim + d)], attention.expected(r, d), 6e-3)
              << "head size " << c.head_dim << " row " << r << " element " << d;
    }
}

TEST(CachedBf16Attention, ARowAloneGivesTheSameBits) {
  for (const Case& c : kCases)
    for (const CachedBf16Attention kernel : kernels()) {
      Attention attention(c);
      const std::vector<float> all = attention.run(kernel, 0, kAttentionRows);
      for (const int together : {1, 2, 3, 4, 5, 7, 8, 17})
        for (int r = 0; r + together <= kAttentionRows; r += together) {
          const std::vector<float> some = attention.run(kernel, r, r + together);
          ASSERT_TRUE(std::equal(some.begin(), some.end(), all.begin() + r * c.head_dim))
              << "head size " << c.head_dim << " rows " << r << " and " << together - 1 << " more";
        }
    }
}

}  // namespace
}  // namespace sumi::kernels

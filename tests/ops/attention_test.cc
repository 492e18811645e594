// Blockwise attention and its backward against the naive twin, for every option.
#include "ops/attention.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/threads.h"
#include "kernels/naive.h"
#include "ops/check.h"

namespace sumi::ops {
namespace {

using check::error_of;
using check::expect_close;
using check::expect_gradients;
using check::expect_same_bits;
using check::random_tensor;

struct Case {
  const char* name;
  int64_t batch, queries, keys, heads, kv_heads, size;
  AttentionOptions options;
};

std::vector<Case> cases() {
  return {
      {"one key", 1, 1, 1, 1, 1, 1, {}},
      {"causal", 2, 5, 5, 2, 2, 8, {.scale = 0.35f}},
      {"all see all", 1, 7, 9, 2, 1, 6, {.scale = 0.4f, .causal = false}},
      {"a picture", 2, 150, 139, 3, 3, 10, {.scale = 0.3f, .causal = false}},
      {"a text for a picture", 1, 70, 77, 2, 1, 40, {.scale = 0.16f, .causal = false}},
      {"one key for all", 1, 3, 1, 2, 2, 5, {.scale = 1, .causal = false}},
      {"tiles", 1, 130, 130, 2, 1, 16, {.scale = 0.25f}},
      {"edges of tiles", 1, 64, 128, 1, 1, 9, {.scale = 0.3f, .causal = false}},
      {"later queries", 1, 3, 70, 3, 1, 8, {.scale = 0.3f, .query_offset = 67}},
      {"queries before keys", 1, 6, 4, 1, 1, 8, {.scale = 0.3f, .query_offset = -3}},
      {"prefix", 1, 70, 70, 2, 1, 8, {.scale = 0.3f, .prefix = 66}},
      {"prefix in a tile", 2, 9, 12, 2, 2, 8, {.scale = 0.3f, .query_offset = 3, .prefix = 6}},
      {"window", 1, 140, 140, 2, 2, 8, {.scale = 0.3f, .window = 5}},
      {"window beyond a tile", 1, 150, 150, 1, 1, 8, {.scale = 0.3f, .window = 70}},
      {"window without causal", 1, 8, 12, 1, 1, 8, {.scale = 0.3f, .causal = false, .window = 3}},
      {"softcap", 1, 20, 20, 2, 1, 8, {.scale = 1.5f, .softcap = 2}},
      {"alibi",
       1,
       70,
       75,
       4,
       2,
       8,
       {.scale = 0.3f, .query_offset = 5, .alibi_slopes = {0.5f, 0.25f, 0.125f, 0.0625f}}},
      {"everything",
       2,
       67,
       80,
       4,
       2,
       12,
       {.scale = 0.6f,
        .query_offset = 13,
        .window = 66,
        .softcap = 3,
        .alibi_slopes = {0.05f, 0.025f, 0.0125f, 0.00625f}}},
      {"distance bias",
       2,
       70,
       75,
       2,
       1,
       8,
       {.scale = 0.3f, .query_offset = 5, .distance_bias = random_tensor({2, 151}, 5)}},
      {"distance bias on both sides",
       2,
       9,
       67,
       4,
       2,
       8,
       {.scale = 1, .causal = false, .softcap = 4, .distance_bias = random_tensor({4, 133}, 6)}},
  };
}

// A head [rows, D] out of x [B, T, H, D], and back (added).
std::vector<float> take_head(const Tensor& x, int64_t b, int64_t h) {
  std::vector<float> head;
  for (int64_t t = 0; t < x.size(1); ++t) {
    const float* row = x.f32() + ((b * x.size(1) + t) * x.size(2) + h) * x.size(3);
    head.insert(head.end(), row, row + x.size(3));
  }
  return head;
}
void add_head(Tensor& x, int64_t b, int64_t h, const std::vector<float>& head) {
  for (int64_t t = 0; t < x.size(1); ++t)
    for (int64_t d = 0; d < x.size(3); ++d)
      x.f32()[((b * x.size(1) + t) * x.size(2) + h) * x.size(3) + d] +=
          head[static_cast<size_t>(t * x.size(3) + d)];
}

// ALiBi and the mask from their definitions in ops/attention.h.
std::vector<float> bias_of(const Case& c, int64_t h) {
  std::vector<float> bias;
  for (int64_t t = 0; t < c.queries; ++t)
    for (int64_t s = 0; s < c.keys; ++s) {
      const int64_t here = t + c.options.query_offset;
      const bool hidden = (c.options.causal && s > here && s >= c.options.prefix) ||
                          (c.options.window > 0 && s <= here - c.options.window);
      const float slope =
          c.options.alibi_slopes.empty() ? 0 : c.options.alibi_slopes[static_cast<size_t>(h)];
      float value = slope * static_cast<float>(s - here);
      if (const Tensor& table = c.options.distance_bias; table.defined())
        value += table.f32()[h * table.size(1) + table.size(1) / 2 + s - here];
      bias.push_back(hidden ? -std::numeric_limits<float>::infinity() : value);
    }
  return bias;
}

struct Operands {
  Tensor q, k, v, dy;
};
Operands operands(const Case& c) {
  return {random_tensor({c.batch, c.queries, c.heads, c.size}, 1),
          random_tensor({c.batch, c.keys, c.kv_heads, c.size}, 2),
          random_tensor({c.batch, c.keys, c.kv_heads, c.size}, 3),
          random_tensor({c.batch, c.queries, c.heads, c.size}, 4)};
}

TEST(Attention, AgreesWithNaive) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    Operands x = operands(c);
    for (Tensor* operand : {&x.q, &x.k, &x.v}) operand->set_requires_grad(true);
    Tensor want = Tensor::zeros(x.q.shape()), dq = Tensor::zeros(x.q.shape());
    Tensor dk = Tensor::zeros(x.k.shape()), dv = Tensor::zeros(x.k.shape());
    for (int64_t b = 0; b < c.batch; ++b)
      for (int64_t h = 0; h < c.heads; ++h) {
        const int64_t kv = h / (c.heads / c.kv_heads);
        const auto q = take_head(x.q, b, h), k = take_head(x.k, b, kv), v = take_head(x.v, b, kv);
        const auto dy = take_head(x.dy, b, h), bias = bias_of(c, h);
        const kernels::naive::Attention shape{
            c.queries, c.keys, c.size, c.options.scale, c.options.softcap, bias.data()};
        std::vector<float> y(q.size()), hq(q.size()), hk(k.size()), hv(k.size());
        kernels::naive::attention(shape, q.data(), k.data(), v.data(), y.data());
        kernels::naive::attention_backward(shape, q.data(), k.data(), v.data(), dy.data(),
                                           hq.data(), hk.data(), hv.data());
        add_head(want, b, h, y);
        add_head(dq, b, h, hq);
        add_head(dk, b, kv, hk);
        add_head(dv, b, kv, hv);
      }
    const Tensor y = attention(x.q, x.k, x.v, c.options);
    expect_close(y, want, 5e-6);
    tensor::backward(y, x.dy);
    expect_close(x.q.grad(), dq, 2e-5);
    expect_close(x.k.grad(), dk, 2e-5);
    expect_close(x.v.grad(), dv, 2e-5);
  }
}

// Operands of the backward's products rounded to bf16, also with texts apart.
TEST(Attention, GradientsInBf16) {
  for (Case c : cases())
    for (const bool apart : {false, true}) {
      if (apart && (c.queries != c.keys || c.queries < 4 || !c.options.causal)) continue;
      SCOPED_TRACE(c.name);
      if (apart) {
        c.options.first_keys = Tensor::zeros({c.batch, c.queries}, DType::i32);
        for (int64_t i = 0; i < c.batch * c.queries; ++i)
          c.options.first_keys.data<int32_t>()[i] =
              static_cast<int32_t>(i % c.queries < c.queries / 3 ? 0 : c.queries / 3);
      }
      Operands x = operands(c);
      std::vector<Tensor> gradients;
      for (const Products products : {Products::f32, Products::bf16}) {
        c.options.products = products;
        for (Tensor* operand : {&x.q, &x.k, &x.v}) {
          operand->set_requires_grad(true);
          operand->set_grad({});
        }
        tensor::backward(attention(x.q, x.k, x.v, c.options), x.dy);
        for (const Tensor* operand : {&x.q, &x.k, &x.v}) gradients.push_back(operand->grad());
      }
      for (size_t i = 0; i < 3; ++i) expect_close(gradients[i + 3], gradients[i], 4e-2);
    }
}

TEST(Attention, FiniteDifferences) {
  for (const Case& c : cases()) {
    if (c.queries > 70) continue;
    SCOPED_TRACE(c.name);
    const Operands x = operands(c);
    expect_gradients(
        [&](const std::vector<Tensor>& in) { return attention(in[0], in[1], in[2], c.options); },
        {x.q, x.k, x.v});
    if (!c.options.distance_bias.defined()) continue;
    expect_gradients(
        [&](const std::vector<Tensor>& in) {
          AttentionOptions options = c.options;
          options.distance_bias = in[0];
          return attention(x.q, x.k, x.v, options);
        },
        {c.options.distance_bias});
  }
}

// Neither the threads nor the queries beside it change a query's bits.
TEST(Attention, SameBitsForThreadsAndPieces) {
  const Case c{"", 1, 150, 150, 3, 1, 16, {.scale = 0.25f, .window = 80}};
  const Operands x = operands(c);
  const int before = base::num_threads();
  base::set_num_threads(1);
  const Tensor one = attention(x.q, x.k, x.v, c.options);
  base::set_num_threads(3);
  expect_same_bits(attention(x.q, x.k, x.v, c.options), one);
  base::set_num_threads(before);
  for (const int64_t begin : {0, 37, 149}) {
    AttentionOptions options = c.options;
    options.query_offset = begin;
    const int64_t count = std::min<int64_t>(30, 150 - begin);
    const Tensor q = x.q.view({150, 3, 16}).rows(begin, count).view({1, count, 3, 16});
    expect_same_bits(attention(q, x.k, x.v, options),
                     one.view({150, 3, 16}).rows(begin, count).view(q.shape()));
    // Nor do keys that come later.
    const int64_t seen = begin + count;
    const Tensor k = x.k.view({150, 1, 16}).rows(0, seen).view({1, seen, 1, 16});
    const Tensor v = x.v.view({150, 1, 16}).rows(0, seen).view({1, seen, 1, 16});
    expect_same_bits(attention(q, k, v, options),
                     one.view({150, 3, 16}).rows(begin, count).view(q.shape()));
  }
}

TEST(Attention, Errors) {
  const Tensor q = Tensor::zeros({1, 2, 4, 8}), k = Tensor::zeros({1, 3, 2, 8});
  EXPECT_EQ(
      error_of([&] { attention(q, Tensor::zeros({1, 3, 3, 8}), Tensor::zeros({1, 3, 3, 8}), {}); }),
      "attention: 4 query heads are not a multiple of 3 key heads");
  EXPECT_EQ(error_of([&] { attention(q, k, Tensor::zeros({1, 3, 2, 4}), {}); }),
            "attention: v has shape [1, 3, 2, 4], expected [1, 3, 2, 8]");
  EXPECT_NE(
      error_of([&] { attention(q, Tensor::zeros({2, 3, 2, 8}), k, {}); }).find("[2, 3, 2, 8]"),
      std::string::npos);
  EXPECT_EQ(error_of([&] { attention(q, k, k, {.alibi_slopes = {1, 2}}); }),
            "attention: 2 ALiBi slopes for 4 heads");
  EXPECT_EQ(error_of([&] { attention(q, k, k, {.window = -1}); }),
            "attention: window is -1, expected 0 or more");
  EXPECT_EQ(error_of([&] { attention(q, k, k, {.prefix = 4}); }),
            "attention: a prefix of 4 keys, expected 0 to 3");
}

}  // namespace
}  // namespace sumi::ops

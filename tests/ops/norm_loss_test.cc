// Norms, softmax, cross entropy, embedding and linear: values against naive twins, gradients,
// errors.
#include <gtest/gtest.h>

#include "kernels/dequantize.h"
#include "kernels/naive.h"
#include "ops/check.h"
#include "ops/ops.h"

namespace sumi::ops {
namespace {

using check::error_of;
using check::expect_close;
using check::expect_gradients;
using check::expect_same_bits;
using check::random_tensor;
using Inputs = std::vector<Tensor>;

TEST(Norm, LayerNorm) {
  for (const int64_t n : {1, 5, 16, 67}) {
    const Tensor x = random_tensor({3, 2, n}, 1), w = random_tensor({n}, 2),
                 b = random_tensor({n}, 3);
    for (const Tensor& bias : {b, Tensor()}) {
      Tensor want = Tensor::empty(x.shape());
      for (int64_t r = 0; r < 6; ++r)
        kernels::naive::layer_norm(x.f32() + r * n, w.f32(), bias.defined() ? bias.f32() : nullptr,
                                   0.1f, want.f32() + r * n, n);
      expect_close(layer_norm(x, w, bias, 0.1f), want, 1e-5);
    }
    expect_gradients([](const Inputs& in) { return layer_norm(in[0], in[1], in[2], 0.1f); },
                     {x, w, b});
    expect_gradients([](const Inputs& in) { return layer_norm(in[0], in[1], {}, 0.1f); }, {x, w});
  }
}

TEST(Norm, RmsNorm) {
  for (const int64_t n : {1, 5, 16, 67})
    for (const float offset : {0.0f, 1.0f}) {
      const Tensor x = random_tensor({5, n}, 4), w = random_tensor({n}, 5);
      Tensor want = Tensor::empty(x.shape());
      for (int64_t r = 0; r < 5; ++r)
        kernels::naive::rms_norm(x.f32() + r * n, w.f32(), offset, 0.1f, want.f32() + r * n, n);
      expect_close(rms_norm(x, w, 0.1f, offset), want, 2e-6);
      expect_gradients([=](const Inputs& in) { return rms_norm(in[0], in[1], 0.1f, offset); },
                       {x, w});
    }
}

TEST(Norm, ARowDoesNotDependOnItsNeighbours) {
  const Tensor x = random_tensor({300, 576}, 6), w = random_tensor({576}, 7);
  const Tensor norm = rms_norm(x, w, 1e-5f), layer = layer_norm(x, w, w, 1e-5f), soft = softmax(x);
  for (const int64_t r : {0, 17, 299}) {
    const Tensor row = x.rows(r, 1);
    expect_same_bits(rms_norm(row, w, 1e-5f), norm.rows(r, 1));
    expect_same_bits(layer_norm(row, w, w, 1e-5f), layer.rows(r, 1));
    expect_same_bits(softmax(row), soft.rows(r, 1));
  }
}

TEST(Norm, Errors) {
  const Tensor x = Tensor::zeros({2, 4});
  EXPECT_EQ(error_of([&] { rms_norm(x, Tensor::zeros({3}), 1e-5f); }),
            "rms_norm: weight has shape [3], expected [4]");
  EXPECT_EQ(error_of([&] {
              layer_norm(x, Tensor::zeros({4}), Tensor::zeros({1, 4}), 1e-5f);
            }),
            "layer_norm: bias has shape [1, 4], expected [4]");
  EXPECT_EQ(error_of([&] { rms_norm(Tensor::zeros({}), x, 1e-5f); }), "rms_norm: x has no axes");
  EXPECT_EQ(error_of([&] { rms_norm(x.to(DType::bf16), x, 1e-5f); }),
            "rms_norm: x is bf16 [2, 4], expected f32");
}

TEST(Softmax, ValuesAndGradients) {
  const Tensor x = random_tensor({2, 3, 37}, 8, 2);
  Tensor want = Tensor::empty(x.shape());
  for (int64_t r = 0; r < 6; ++r)
    kernels::naive::softmax(x.f32() + r * 37, want.f32() + r * 37, 37);
  expect_close(softmax(x), want, 1e-6);
  expect_gradients([](const Inputs& in) { return softmax(in[0]); }, {x});
}

TEST(CrossEntropy, ValuesAndGradients) {
  const Tensor logits = random_tensor({2, 3, 19}, 9, 2);
  const Tensor targets = Tensor::from_ids({4, 18, kIgnoreIndex, 0, kIgnoreIndex, 7}, {2, 3});
  double total = 0;
  for (const int64_t r : {0, 1, 3, 5})
    total += kernels::naive::log_sum_exp(logits.f32() + r * 19, 19) -
             logits.f32()[r * 19 + targets.data<int32_t>()[r]];
  EXPECT_NEAR(cross_entropy(logits, targets).f32()[0], total / 4, 1e-6);
  expect_gradients([&](const Inputs& in) { return cross_entropy(in[0], targets); }, {logits});
  // Each row's gradient is (softmax - one hot) / 4; a row that does not count has none.
  Tensor x = logits.clone().set_requires_grad(true);
  tensor::backward(cross_entropy(x, targets));
  Tensor want = scale(softmax(logits), 0.25f);
  for (int64_t r = 0; r < 6; ++r) {
    const int32_t target = targets.data<int32_t>()[r];
    if (target == kIgnoreIndex)
      std::fill_n(want.f32() + r * 19, 19, 0.0f);
    else
      want.f32()[r * 19 + target] -= 0.25f;
  }
  expect_close(x.grad(), want, 1e-6);
}

TEST(CrossEntropy, Errors) {
  const Tensor logits = Tensor::zeros({2, 5});
  EXPECT_EQ(error_of([&] {
              cross_entropy(logits, Tensor::from_ids({1, 5}, {2}));
            }),
            "cross_entropy: target 5 at position 1 is outside [0, 5)");
  EXPECT_EQ(error_of([&] {
              cross_entropy(logits, Tensor::from_ids({-1, 0}, {2}));
            }),
            "cross_entropy: target -1 at position 0 is outside [0, 5)");
  EXPECT_EQ(error_of([&] {
              cross_entropy(logits, Tensor::from_ids({-100, -100}, {2}));
            }),
            "cross_entropy: none of the 2 targets counts");
  EXPECT_EQ(error_of([&] { cross_entropy(logits, Tensor::zeros({2})); }),
            "cross_entropy: targets f32 [2], expected i32 [2] for logits [2, 5]");
}

TEST(SquaredError, ValuesAndGradients) {
  const Tensor x = random_tensor({3, 4, 5}, 21), target = random_tensor({3, 4, 5}, 22);
  const std::vector<float> weights = {0.5f, 0, 2};
  double expected = 0;
  for (int64_t i = 0; i < 60; ++i) {
    const double d = double{x.f32()[i]} - double{target.f32()[i]};
    expected += double{weights[static_cast<size_t>(i / 20)]} * d * d / 20;
  }
  EXPECT_NEAR(squared_error(x, target, weights).f32()[0], expected, 1e-6);
  expect_gradients([&](const Inputs& in) { return squared_error(in[0], target, weights); }, {x});
  EXPECT_EQ(error_of([&] { squared_error(x, target, {1, 1}); }),
            "squared_error: 2 weights for x [3, 4, 5], expected one for each row");
  EXPECT_EQ(error_of([&] { squared_error(x, Tensor::zeros({3, 5, 4}), weights); }),
            "squared_error: target has shape [3, 5, 4], expected [3, 4, 5]");
}

TEST(Embedding, ReadsEveryType) {
  const Tensor table = random_tensor({11, 64}, 10), ids = Tensor::from_ids({3, 0, 10, 3}, {2, 2});
  const Tensor rows = embedding(ids, table);
  EXPECT_EQ(rows.shape(), (Shape{2, 2, 64}));
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const Tensor narrow = table.to(dtype), want = embedding(ids, narrow.to(DType::f32));
    expect_same_bits(embedding(ids, narrow), want);
  }
  // Block types: random bytes, finite scales (0x1c is a small half float).
  using Dequantize = void (*)(const std::byte*, int64_t, float*);
  const std::pair<DType, Dequantize> types[] = {
      {DType::q4_0, kernels::dequantize_q4_0}, {DType::q4_1, kernels::dequantize_q4_1},
      {DType::q5_0, kernels::dequantize_q5_0}, {DType::q5_1, kernels::dequantize_q5_1},
      {DType::q8_0, kernels::dequantize_q8_0}, {DType::q2_k, kernels::dequantize_q2_k},
      {DType::q3_k, kernels::dequantize_q3_k}, {DType::q4_k, kernels::dequantize_q4_k},
      {DType::q5_k, kernels::dequantize_q5_k}, {DType::q6_k, kernels::dequantize_q6_k}};
  for (const auto& [dtype, dequantize] : types) {
    SCOPED_TRACE(tensor::dtype_name(dtype));
    Tensor blocks = Tensor::empty({11, 512}, dtype);
    for (int64_t i = 0; i < blocks.nbytes(); ++i)
      blocks.bytes()[i] = static_cast<std::byte>((i * 37 + i / 7) % 113 % 60);
    Tensor all = Tensor::empty({11, 512});
    dequantize(blocks.bytes(), 11 * 512, all.f32());
    expect_same_bits(embedding(ids, blocks), embedding(ids, all));
  }
}

TEST(Embedding, GradientsAndErrors) {
  const Tensor table = random_tensor({7, 20}, 11), ids = Tensor::from_ids({2, 6, 2, 2, 0}, {5});
  expect_gradients([&](const Inputs& in) { return embedding(ids, in[0]); }, {table});
  EXPECT_EQ(error_of([&] {
              embedding(Tensor::from_ids({1, 7}, {2}), table);
            }),
            "embedding: id 7 at position 1 is outside [0, 7)");
  EXPECT_EQ(error_of([&] { embedding(Tensor::from_ids({-1}, {1}), table); }),
            "embedding: id -1 at position 0 is outside [0, 7)");
  EXPECT_EQ(error_of([&] { embedding(table, table); }), "embedding: ids are f32, expected i32");
  EXPECT_NE(error_of([&] {
              embedding(ids, Tensor::zeros({7, 2}, DType::i8));
            }).find("table of i8"),
            std::string::npos);
}

struct LinearCase {
  int64_t rows, n, k;
};

TEST(Linear, ValuesAndGradients) {
  for (const LinearCase& c : {LinearCase{1, 1, 1}, {1, 33, 17}, {6, 20, 45}, {40, 65, 31}}) {
    const Tensor x = random_tensor({2, c.rows, c.k}, 12), w = random_tensor({c.n, c.k}, 13, 0.5f);
    const Tensor b = random_tensor({c.n}, 14);
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      const Tensor weight = w.to(dtype), wide = weight.to(DType::f32);
      Tensor want = Tensor::empty({2, c.rows, c.n});
      for (int64_t r = 0; r < 2 * c.rows; ++r) std::copy_n(b.f32(), c.n, want.f32() + r * c.n);
      kernels::naive::matmul(false, true, 2 * c.rows, c.n, c.k, 1, x.f32(), wide.f32(), 1,
                             want.f32());
      expect_close(linear(x, weight, b), want, 1e-5);
      Tensor input = x.clone().set_requires_grad(true);
      const Tensor y = linear(input, weight);
      tensor::backward(y, random_tensor(y.shape(), 15));
      Tensor plain = x.clone().set_requires_grad(true);
      const Tensor z = linear(plain, wide);
      tensor::backward(z, random_tensor(z.shape(), 15));
      expect_same_bits(input.grad(), plain.grad());
    }
    expect_gradients([](const Inputs& in) { return linear(in[0], in[1], in[2]); }, {x, w, b});
    expect_gradients([](const Inputs& in) { return linear(in[0], in[1]); }, {x, w});
  }
}

TEST(Linear, Errors) {
  const Tensor x = Tensor::zeros({2, 4});
  EXPECT_EQ(error_of([&] {
              linear(x, Tensor::zeros({3, 5}));
            }),
            "linear: weight f32 [3, 5], expected f32, f16 or bf16 [N, 4] for x [2, 4]");
  EXPECT_NE(error_of([&] {
              linear(x, Tensor::zeros({3, 32}, DType::q4_0));
            }).find("q4_0"),
            std::string::npos);
  EXPECT_EQ(error_of([&] {
              linear(x, Tensor::zeros({3, 4}), Tensor::zeros({4}));
            }),
            "linear: bias has shape [4], expected [3]");
}

}  // namespace
}  // namespace sumi::ops

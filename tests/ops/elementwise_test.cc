// add, mul, scale, softcap, clamp, activations, gates, reshape, slices: values, gradients, errors.
#include <gtest/gtest.h>

#include "base/threads.h"
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

constexpr Activation kActivations[] = {Activation::identity,   Activation::relu,
                                       Activation::gelu,       Activation::gelu_tanh,
                                       Activation::gelu_quick, Activation::silu,
                                       Activation::sigmoid,    Activation::relu_squared};

// Values at least 0.05 away from zero, where relu has no derivative.
Tensor away_from_zero(Shape shape, uint32_t seed) {
  Tensor x = random_tensor(std::move(shape), seed);
  for (int64_t i = 0; i < x.numel(); ++i) x.f32()[i] += x.f32()[i] > 0 ? 0.05f : -0.05f;
  return x;
}

TEST(Arithmetic, BroadcastsTheLastAxes) {
  const Tensor a = Tensor::from({1, 2, 3, 4, 5, 6}, {2, 3}), b = Tensor::from({10, 20, 30}, {3});
  EXPECT_EQ(add(a, b).to_vector(), (std::vector<float>{11, 22, 33, 14, 25, 36}));
  EXPECT_EQ(mul(a, b).to_vector(), (std::vector<float>{10, 40, 90, 40, 100, 180}));
  EXPECT_EQ(add(a, a).to_vector(), (std::vector<float>{2, 4, 6, 8, 10, 12}));
  EXPECT_EQ(scale(b, -0.5f).to_vector(), (std::vector<float>{-5, -10, -15}));
  EXPECT_EQ(clamp(b, 15).to_vector(), (std::vector<float>{10, 15, 15}));
  EXPECT_EQ(error_of([&] { add(b, a); }), "add: b of shape [2, 3] is not the last axes of a's [3]");
  EXPECT_EQ(error_of([&] { mul(a, Tensor::zeros({2})); }),
            "mul: b of shape [2] is not the last axes of a's [2, 3]");
  EXPECT_EQ(error_of([&] { add(a, Tensor::zeros({3}, DType::i32)); }),
            "add: b is i32 [3], expected f32");
  EXPECT_EQ(error_of([&] { add(a, {}); }), "add: b is undefined");
  EXPECT_NE(error_of([&] { softcap(a, 0); }).find("cap is 0"), std::string::npos);
  EXPECT_NE(error_of([&] { clamp(a, -1); }).find("limit is -1"), std::string::npos);
}

TEST(Arithmetic, Gradients) {
  const Shape shape = {3, 5, 7};
  for (const Shape& other : {shape, Shape{5, 7}, Shape{7}}) {
    const Inputs inputs = {random_tensor(shape, 1), random_tensor(other, 2)};
    expect_gradients([](const Inputs& in) { return add(in[0], in[1]); }, inputs);
    expect_gradients([](const Inputs& in) { return mul(in[0], in[1]); }, inputs);
  }
  const Inputs one = {random_tensor(shape, 3)};
  expect_gradients([](const Inputs& in) { return scale(in[0], 2.5f); }, one);
  expect_gradients([](const Inputs& in) { return softcap(in[0], 1.5f); }, one);
  expect_gradients([](const Inputs& in) { return mul(in[0], in[0]); }, one);
  Tensor apart = Tensor::from({-3, -0.5f, 0.2f, 0.9f, 1.3f, 4}, {6});  // no value near the limit
  expect_gradients([](const Inputs& in) { return clamp(in[0], 1.1f); }, {apart});
}

TEST(Activations, ValuesAndGradients) {
  const Tensor x = away_from_zero({4, 33}, 4), up = random_tensor({4, 33}, 5);
  for (const Activation kind : kActivations) {
    SCOPED_TRACE(static_cast<int>(kind));
    const Tensor y = activation(x, kind);
    for (int64_t i = 0; i < x.numel(); ++i)
      ASSERT_NEAR(y.f32()[i], kernels::naive::activation(kind, x.f32()[i]), 1e-6);
    expect_gradients([&](const Inputs& in) { return activation(in[0], kind); }, {x});
    expect_gradients([&](const Inputs& in) { return gated(in[0], in[1], kind); }, {x, up});
    const Tensor both = concat_last({x, up}).clone();
    expect_same_bits(gated(both, kind), gated(x, up, kind));
    expect_gradients([&](const Inputs& in) { return gated(in[0], kind); }, {both});
  }
}

TEST(Activations, NamesAndErrors) {
  EXPECT_EQ(activation_from_name("gelu_new"), Activation::gelu_tanh);
  EXPECT_EQ(activation_from_name("gelu_pytorch_tanh"), Activation::gelu_tanh);
  EXPECT_EQ(activation_from_name("gelu"), Activation::gelu);
  EXPECT_EQ(activation_from_name("silu"), Activation::silu);
  EXPECT_EQ(activation_from_name("relu"), Activation::relu);
  EXPECT_EQ(activation_from_name("quick_gelu"), Activation::gelu_quick);
  const std::string unknown = error_of([] { activation_from_name("mish"); });
  EXPECT_EQ(unknown.rfind("activation: unknown name \"mish\"; known: linear, identity, relu", 0), 0u)
      << unknown;
  EXPECT_EQ(error_of([] {
              gated(Tensor::zeros({2, 3}), Tensor::zeros({3, 2}), Activation::silu);
            }),
            "gated: up has shape [3, 2], expected [2, 3]");
  EXPECT_NE(error_of([] {
              gated(Tensor::zeros({2, 3}), Activation::silu);
            }).find("odd"),
            std::string::npos);
}

TEST(Shapes, ReshapeSliceConcat) {
  const Tensor x = Tensor::from({0, 1, 2, 3, 4, 5, 6, 7}, {2, 4});
  EXPECT_EQ(slice_last(x, 1, 2).to_vector(), (std::vector<float>{1, 2, 5, 6}));
  EXPECT_EQ(slice_last(x, 4, 0).numel(), 0);
  EXPECT_EQ(concat_last({slice_last(x, 3, 1), x}).to_vector(),
            (std::vector<float>{3, 0, 1, 2, 3, 7, 4, 5, 6, 7}));
  EXPECT_EQ(reshape(x, {4, 2}).bytes(), x.bytes());
  const Inputs inputs = {random_tensor({3, 5, 6}, 6), random_tensor({3, 5, 2}, 7)};
  expect_gradients(
      [](const Inputs& in) {
        const Tensor joined = concat_last({in[0], in[1], in[0]});
        return reshape(slice_last(joined, 3, 9), {5, 27});
      },
      inputs);
  EXPECT_NE(error_of([&] { slice_last(x, 3, 2); }).find("columns [3, 3 + 2)"), std::string::npos);
  EXPECT_NE(error_of([&] {
              concat_last({x, Tensor::zeros({3, 4})});
            }).find("[2, 4] and [3, 4]"),
            std::string::npos);
  EXPECT_EQ(error_of([] { concat_last({}); }), "concat_last: no parts");
  EXPECT_NE(error_of([&] {
              reshape(x, {3, 3});
            }).find("no view of shape [3, 3]"),
            std::string::npos);
}

// Large enough for several threads: values and gradients may not depend on their number.
TEST(Threads, DoNotChangeAnyBit) {
  const int before = base::num_threads();
  std::vector<Inputs> results;
  for (const int threads : {1, 2, 5}) {
    base::set_num_threads(threads);
    Tensor x = random_tensor({123, 1000}, 8).set_requires_grad(true);
    Tensor gate = random_tensor({123, 1000}, 9).set_requires_grad(true);
    Tensor weight = random_tensor({1000}, 10).set_requires_grad(true);
    Tensor bias = random_tensor({1000}, 11).set_requires_grad(true);
    Tensor y = gated(add(mul(x, weight), bias), gate, Activation::gelu);
    y = softmax(layer_norm(rms_norm(y, weight, 1e-5f), weight, bias, 1e-5f));
    tensor::backward(y, random_tensor(y.shape(), 12));
    results.push_back({y, x.grad(), gate.grad(), weight.grad(), bias.grad()});
  }
  base::set_num_threads(before);
  for (size_t run = 1; run < results.size(); ++run)
    for (size_t i = 0; i < results[0].size(); ++i) expect_same_bits(results[run][i], results[0][i]);
}

}  // namespace
}  // namespace sumi::ops

// The tape, with operations made for the test; the real ones are tested in tests/ops.
#include "tensor/autograd.h"

#include <gtest/gtest.h>

#include <string>

namespace sumi::tensor {
namespace {

Tensor add(const Tensor& a, const Tensor& b) {
  Tensor out = Tensor::empty(a.shape());
  for (int64_t i = 0; i < a.numel(); ++i) out.f32()[i] = a.f32()[i] + b.f32()[i];
  if (needs_record({&a, &b}))
    record(out, "add", {a, b}, [](const Tensor& g) -> std::vector<Tensor> { return {g, g}; });
  return out;
}

Tensor mul(const Tensor& a, const Tensor& b) {
  const auto product = [](const Tensor& x, const Tensor& y) {
    Tensor out = Tensor::empty(x.shape());
    for (int64_t i = 0; i < x.numel(); ++i) out.f32()[i] = x.f32()[i] * y.f32()[i];
    return out;
  };
  Tensor out = product(a, b);
  if (needs_record({&a, &b}))
    record(out, "mul", {a, b}, [=](const Tensor& g) -> std::vector<Tensor> {
      return {product(g, b), product(g, a)};
    });
  return out;
}

Tensor leaf(float value) { return Tensor::full({1}, value).set_requires_grad(true); }

template <class Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Autograd, SharedInputsAccumulate) {
  Tensor x = leaf(3);
  const Tensor square = mul(x, x), sum = add(square, square);
  backward(add(sum, x));  // 2 x^2 + x
  EXPECT_EQ(x.grad().f32()[0], 4 * 3 + 1);
}

TEST(Autograd, ARecordKeepsNoElementsThatItsBackwardDoesNotRead) {
  Tensor x = leaf(3);
  const Tensor y = add(x, x), z = add(y, y);
  EXPECT_TRUE(y.sole_owner());
  backward(z);
  EXPECT_EQ(x.grad().f32()[0], 4);
}

TEST(Autograd, SecondBackwardAddsToTheGradient) {
  Tensor x = leaf(3);
  backward(mul(x, x));
  backward(mul(x, x));
  EXPECT_EQ(x.grad().f32()[0], 12);
  x.set_grad({});
  EXPECT_FALSE(x.grad().defined());
}

TEST(Autograd, AGradientThatComesAloneIsKeptInAnotherType) {
  const float factor = 1 + 1.0f / 512;  // of bf16's numbers 1 is the nearest
  Tensor x = leaf(2);
  keep_gradient_as(x, DType::bf16);
  backward(mul(x, Tensor::full({1}, factor)));
  ASSERT_EQ(x.grad().dtype(), DType::bf16);
  EXPECT_EQ(x.grad().to(DType::f32).f32()[0], 1);
  backward(mul(x, Tensor::full({1}, factor)));
  ASSERT_EQ(x.grad().dtype(), DType::f32);
  EXPECT_EQ(x.grad().f32()[0], 1 + factor);
  Tensor no_leaf = mul(x, x), no_gradient = Tensor::full({1}, 2);
  EXPECT_EQ(error_of([&] { keep_gradient_as(no_leaf, DType::bf16); }),
            "keep_gradient_as: the tensor is no leaf with a gradient");
  EXPECT_EQ(error_of([&] { keep_gradient_as(no_gradient, DType::bf16); }),
            "keep_gradient_as: the tensor is no leaf with a gradient");
}

TEST(Autograd, GradientsOfTwoLeavesDoNotShareMemory) {
  Tensor x = leaf(1), y = leaf(2);
  const Tensor seed = Tensor::full({1}, 1);
  backward(add(x, y), seed);
  backward(mul(x, y));
  EXPECT_EQ(x.grad().f32()[0], 3);
  EXPECT_EQ(y.grad().f32()[0], 2);
  EXPECT_EQ(seed.f32()[0], 1);
}

TEST(Autograd, DiamondVisitsEachRecordOnce) {
  Tensor x = leaf(2);
  int calls = 0;
  Tensor middle = Tensor::full({1}, 2);
  record(middle, "counted", {x}, [&calls](const Tensor& g) -> std::vector<Tensor> {
    ++calls;
    return {g};
  });
  Tensor out = middle;
  for (int i = 0; i < 20; ++i) out = add(out, out);  // 2^20 paths
  backward(out);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(x.grad().f32()[0], 1 << 20);
}

TEST(Autograd, NothingIsRecordedUnderNoGrad) {
  Tensor x = leaf(3);
  {
    const NoGrad no_grad;
    EXPECT_FALSE(grad_enabled());
    EXPECT_FALSE(mul(x, x).requires_grad());
    {
      const EnableGrad enable;
      EXPECT_TRUE(mul(x, x).requires_grad());
    }
    EXPECT_FALSE(grad_enabled());
  }
  EXPECT_TRUE(grad_enabled());
  const Tensor constant = Tensor::full({1}, 5);
  EXPECT_FALSE(mul(constant, constant).requires_grad());
  backward(mul(x, constant));
  EXPECT_EQ(x.grad().f32()[0], 5);
  EXPECT_FALSE(constant.grad().defined());
}

TEST(Autograd, Errors) {
  Tensor x = leaf(3);
  EXPECT_NE(error_of([&] { backward(x); }).find("no history"), std::string::npos);
  EXPECT_NE(error_of([&] { backward(Tensor()); }).find("undefined"), std::string::npos);
  EXPECT_NE(error_of([&] { backward(Tensor::zeros({2})); }).find("one element"), std::string::npos);
  const Tensor y = mul(x, x);
  EXPECT_NE(error_of([&] { backward(y, Tensor::zeros({2})); }).find("[2]"), std::string::npos);
  backward(y);
  EXPECT_NE(error_of([&] { backward(y); }).find("freed by an earlier backward"), std::string::npos);
  Tensor wrong = Tensor::zeros({1});
  record(wrong, "wrong", {x},
         [](const Tensor&) -> std::vector<Tensor> { return {Tensor::zeros({3})}; });
  EXPECT_EQ(error_of([&] { backward(wrong); }),
            "backward of wrong: gradient f32 [3] for input 0 of shape [1]");
  Tensor result = mul(x, x);
  EXPECT_NE(error_of([&] { result.set_requires_grad(false); }).find("result of mul"),
            std::string::npos);
  EXPECT_NE(error_of([] { Tensor::zeros({2}, DType::i32).set_requires_grad(true); }).find("i32"),
            std::string::npos);
  EXPECT_NE(error_of([&] { x.set_grad(Tensor::zeros({2})); }).find("set_grad"), std::string::npos);
}

TEST(Autograd, DeepGraphsNeedNoStack) {
  constexpr int kDepth = 200000;
  const Tensor one = Tensor::full({1}, 1);
  Tensor x = leaf(0);
  for (const bool run : {true, false}) {
    Tensor y = x;
    for (int i = 0; i < kDepth; ++i) y = i % 2 ? add(y, one) : mul(y, one);
    if (run) backward(y);
    // Otherwise y goes out of scope with its whole history.
  }
  EXPECT_EQ(x.grad().f32()[0], 1);
}

TEST(Autograd, BackwardFreesWhatRecordsHold) {
  Tensor x = leaf(2);
  const auto token = std::make_shared<int>(1);
  Tensor y = Tensor::full({1}, 2);
  record(y, "held", {x}, [token](const Tensor& g) -> std::vector<Tensor> { return {g}; });
  const Tensor z = mul(y, y);
  EXPECT_EQ(token.use_count(), 2);
  backward(z);
  EXPECT_EQ(token.use_count(), 1);
}

TEST(Checkpoint, EqualsPlain) {
  Tensor weight = leaf(5), x = leaf(3);
  int runs = 0;
  const auto function = [&](const std::vector<Tensor>& in) {
    ++runs;
    return add(mul(in[0], weight), mul(in[0], in[1]));
  };
  const auto graph = [&](bool checkpointed) {
    weight.set_grad({});
    x.set_grad({});
    const Tensor a = mul(x, x);
    const Tensor b = checkpointed ? checkpoint(function, {a, x}) : function({a, x});
    backward(mul(b, a));
    return std::pair(weight.grad().f32()[0], x.grad().f32()[0]);
  };
  const auto plain = graph(false);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(graph(true), plain);
  EXPECT_EQ(runs, 3);
}

TEST(Checkpoint, ParametersLearnWhenNoInputNeedsAGradient) {
  Tensor weight = leaf(5);
  const Tensor x = Tensor::full({1}, 3);
  backward(checkpoint([&](const std::vector<Tensor>& in) { return mul(in[0], weight); }, {x}));
  EXPECT_EQ(weight.grad().f32()[0], 3);
}

TEST(Checkpoint, RecordsNothingWhereNothingLearns) {
  const Tensor frozen = Tensor::full({1}, 5), x = Tensor::full({1}, 3);
  const Tensor y = checkpoint([&](const std::vector<Tensor>& in) { return mul(in[0], frozen); }, {x});
  EXPECT_FALSE(y.requires_grad());
  Tensor weight = leaf(5);
  const Tensor inner = checkpoint(
      [&](const std::vector<Tensor>& in) {
        return checkpoint([&](const std::vector<Tensor>& again) { return mul(again[0], weight); }, {in[0]});
      },
      {x});
  EXPECT_TRUE(inner.requires_grad());
}

TEST(Checkpoint, IdentityAndNesting) {
  Tensor x = leaf(3);
  const auto identity = [](const std::vector<Tensor>& in) { return in[0]; };
  const auto square = [](const std::vector<Tensor>& in) { return mul(in[0], in[0]); };
  const Tensor y = checkpoint(
      [&](const std::vector<Tensor>& in) {
        return mul(checkpoint(square, {in[0]}), checkpoint(identity, {in[0]}));
      },
      {x});
  backward(y);  // x^3
  EXPECT_EQ(y.f32()[0], 27);
  EXPECT_EQ(x.grad().f32()[0], 27);
}

TEST(Checkpoint, CapturedHistoryIsAnError) {
  Tensor x = leaf(3);
  const Tensor hidden = mul(x, x);
  const Tensor y =
      checkpoint([&](const std::vector<Tensor>& in) { return mul(in[0], hidden); }, {x});
  EXPECT_EQ(error_of([&] { backward(y); }),
            "checkpoint: its function captured a result of mul; pass it as an input");
}

}  // namespace
}  // namespace sumi::tensor

// Convolutions and their gradients against the naive twin.
#include "ops/conv.h"

#include <gtest/gtest.h>

#include "kernels/naive.h"
#include "kernels/onednn_conv.h"
#include "ops/check.h"
#include "ops/picture.h"

namespace sumi::ops {
namespace {

using check::error_of;
using check::expect_close;
using check::expect_gradients;
using check::random_tensor;

struct Case {
  const char* name;
  Shape x, weight;
  Conv2dOptions options;
};

std::vector<Case> cases() {
  return {
      {"3x3", {2, 6, 9, 16}, {32, 16, 3, 3}, Conv2dOptions::padded(1)},
      {"1x1", {1, 5, 7, 24}, {40, 24, 1, 1}, {}},
      {"odd channels", {2, 7, 5, 3}, {5, 3, 3, 3}, Conv2dOptions::padded(1)},
      {"stride 2", {2, 9, 6, 16}, {16, 16, 3, 3}, Conv2dOptions::padded(1, 2)},
      {"padding after only", {1, 8, 8, 16}, {16, 16, 3, 3}, {.stride = 2, .pad_bottom = 1, .pad_right = 1}},
      {"no padding", {1, 6, 6, 8}, {4, 8, 3, 3}, {}},
      {"few outputs", {1, 8, 8, 64}, {4, 64, 3, 3}, Conv2dOptions::padded(1)},
      {"one pixel", {3, 1, 1, 8}, {8, 8, 3, 3}, Conv2dOptions::padded(1)},
      {"3x3 in lanes", {2, 6, 9, 64}, {128, 64, 3, 3}, Conv2dOptions::padded(1)},
      {"3x3 of even width", {2, 6, 10, 64}, {32, 64, 3, 3}, Conv2dOptions::padded(1)},
      {"3x3 of few pixels", {1, 4, 6, 32}, {64, 32, 3, 3}, Conv2dOptions::padded(1)},
      {"1x1 in lanes", {1, 5, 7, 128}, {64, 128, 1, 1}, {}},
      {"wide kernel", {1, 9, 9, 4}, {6, 4, 5, 5}, Conv2dOptions::padded(2)},
      // oneDNN's bf16 code for AMX spoils memory at the first width and does not end at the second.
      {"512 wide", {1, 8, 512, 16}, {16, 16, 3, 3}, Conv2dOptions::padded(1)},
      {"768 wide", {1, 8, 768, 16}, {16, 16, 3, 3}, Conv2dOptions::padded(1)},
  };
}

struct Operands {
  Tensor x, weight, bias;
  kernels::onednn::Conv2d problem;
};
Operands operands(const Case& c) {
  const Conv2dOptions& o = c.options;
  return {random_tensor(c.x, 1),
          random_tensor(c.weight, 2, 0.3f),
          random_tensor({c.weight[0]}, 3),
          {c.x[0], c.x[1], c.x[2], c.weight[1], c.weight[0], c.weight[2], c.weight[3], o.stride,
           o.pad_top, o.pad_bottom, o.pad_left, o.pad_right}};
}

Tensor naive_result(const Operands& in) {
  Tensor y = Tensor::empty({in.problem.batch, in.problem.out_height(), in.problem.out_width(),
                            in.problem.out_channels});
  kernels::naive::convolve(in.problem, in.x.f32(), in.weight.f32(), in.bias.f32(), y.f32());
  return y;
}

TEST(Conv2d, AgreesWithNaive) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    Operands in = operands(c);
    const Tensor want = naive_result(in);
    for (Tensor* operand : {&in.x, &in.weight, &in.bias}) operand->set_requires_grad(true);
    const Tensor y = conv2d(in.x, in.weight, in.bias, c.options);
    expect_close(y, want, 2e-5);
    const Tensor dy = random_tensor(y.shape(), 4);
    Tensor dx = Tensor::zeros(in.x.shape()), dw = Tensor::zeros(in.weight.shape());
    Tensor db = Tensor::zeros(in.bias.shape());
    kernels::naive::convolve_backward(in.problem, in.x.f32(), in.weight.f32(), dy.f32(), dx.f32(),
                                      dw.f32(), db.f32());
    tensor::backward(y, dy);
    expect_close(in.x.grad(), dx, 2e-5);
    expect_close(in.weight.grad(), dw, c.x[2] < 500 ? 5e-5f : 4e-4f);  // sums of 6144 products in f32
    expect_close(in.bias.grad(), db, 5e-5);
  }
}

double relative_error(const Tensor& got, const Tensor& want) {
  double errors = 0, squares = 0;
  for (int64_t i = 0; i < want.numel(); ++i) {
    errors += std::pow(double{got.f32()[i]} - double{want.f32()[i]}, 2);
    squares += std::pow(double{want.f32()[i]}, 2);
  }
  return std::sqrt(errors / squares);
}

// By Winograd's method numbers are rounded again, after they are transformed: what matters is the error of all.
bool by_winograd(const Operands& in) {
  return kernels::picture_tile_kernels().winograd && in.problem.kernel_height == 3 && in.problem.stride == 1 &&
         in.problem.in_channels % 32 == 0 && in.problem.out_channels % 32 == 0;
}

// In bf16: what the rounded operands give in f32, with weights that learn and with frozen ones kept in bf16.
TEST(Conv2d, Bf16) {
  const auto rounded = [](const Tensor& x) { return x.to(DType::bf16).to(DType::f32); };
  for (const Case& c : cases())
    for (const bool frozen : {false, true}) {
      SCOPED_TRACE(c.name);
      const Operands full = operands(c);
      Operands in = full;
      in.x = rounded(full.x);
      in.weight = rounded(full.weight);
      const Tensor want = naive_result(in);
      Tensor x = full.x.clone(), weight = frozen ? full.weight.to(DType::bf16) : full.weight.clone();
      Tensor bias = full.bias.clone();
      x.set_requires_grad(true);
      if (!frozen) {
        weight.set_requires_grad(true);
        bias.set_requires_grad(true);
      }
      const Tensor y = conv2d(x, weight, bias, c.options, Products::bf16);
      const auto expect_rounded = [&](const Tensor& got, const Tensor& exact) {
        if (by_winograd(in)) EXPECT_LT(relative_error(got, exact), 0.01);
        else expect_close(got, exact, 1e-4);
      };
      expect_rounded(y, want);
      const Tensor dy = random_tensor(y.shape(), 4);
      Tensor dx = Tensor::zeros(in.x.shape()), dw = Tensor::zeros(in.weight.shape());
      Tensor db = Tensor::zeros(in.bias.shape());
      kernels::naive::convolve_backward(in.problem, in.x.f32(), in.weight.f32(), rounded(dy).f32(), dx.f32(),
                                        dw.f32(), db.f32());
      tensor::backward(y, dy);
      expect_rounded(x.grad(), dx);
      if (frozen) continue;
      expect_close(weight.grad(), dw, 2e-4);
      Tensor sum = Tensor::zeros(db.shape());  // of what was not rounded
      for (int64_t i = 0; i < dy.numel(); ++i) sum.f32()[i % db.numel()] += dy.f32()[i];
      expect_close(bias.grad(), sum, 5e-5);
    }
}

TEST(Conv2d, FiniteDifferences) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Operands in = operands(c);
    Conv2dOptions options = c.options;
    options.silu = true;
    expect_gradients(
        [&](const std::vector<Tensor>& a) { return conv2d(a[0], a[1], a[2], options); },
        {in.x, in.weight, in.bias});
  }
}

TEST(Conv2d, PackedWeights) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Operands in = operands(c);
    const Tensor want = naive_result(in);
    // Packed for another size: the order is found again where the code for this one differs.
    const PackedConv packed(in.weight, ConvStorage::f32, c.options, 32);
    expect_close(conv2d(in.x, packed, in.bias, c.options), want, 5e-5);
    const Tensor more = random_tensor(want.shape(), 5);
    Tensor sum = want.clone(), silu = want.clone();
    for (int64_t i = 0; i < sum.numel(); ++i) {
      sum.f32()[i] += more.f32()[i];
      silu.f32()[i] /= 1 + std::exp(-silu.f32()[i]);
    }
    const Tensor kept = more.clone();
    expect_close(conv2d(in.x, packed, in.bias, c.options, more), sum, 5e-5);
    expect_close(more, kept, 0);  // someone else's residual is not written to
    expect_close(conv2d(in.x, packed, in.bias, c.options, more.clone()), sum, 5e-5);
    Conv2dOptions fused = c.options;
    fused.silu = true;
    expect_close(conv2d(in.x, packed, in.bias, fused), silu, 5e-5);
  }
}

TEST(Conv2d, StoredBf16) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    Operands in = operands(c);
    in.weight = in.weight.to(DType::bf16).to(DType::f32);
    const PackedConv packed(in.weight, ConvStorage::bf16, c.options);
    const Tensor got = conv2d(in.x, packed, in.bias, c.options);
    if (packed.tiles() || kernels::onednn::convolves_bf16()) in.x = in.x.to(DType::bf16).to(DType::f32);  // rounds inputs, sums in f32
    const Tensor want = naive_result(in);
    if (packed.tiles() && by_winograd(in))
      EXPECT_LT(relative_error(got, want), 0.01);
    else
      expect_close(got, want, 5e-5);
  }
}

TEST(Conv2d, DoublesThePicture) {
  for (const Case& c : cases())
    for (const ConvStorage storage : {ConvStorage::f32, ConvStorage::bf16}) {
      SCOPED_TRACE(c.name);
      const Operands in = operands(c);
      const PackedConv packed(in.weight, storage, c.options);
      Conv2dOptions doubled = c.options;
      doubled.doubled = true;
      expect_close(conv2d(in.x, packed, in.bias, doubled),
                   conv2d(upsample_nearest_2x(in.x), packed, in.bias, c.options), 0);
      EXPECT_EQ(error_of([&] { conv2d(in.x, in.weight, in.bias, doubled); }),
                "conv2d: only packed weights take a doubled picture");
    }
}

TEST(Conv2d, WeightsTakeWhatTheirTypeTakes) {
  const Tensor weight = random_tensor({64, 64, 3, 3}, 1);
  const auto options = Conv2dOptions::padded(1);
  const auto count = static_cast<size_t>(weight.numel());
  EXPECT_EQ(PackedConv(weight, ConvStorage::f32, options).bytes(), 4 * count);
  EXPECT_EQ(PackedConv(weight, ConvStorage::f16, options).bytes(), 2 * count);
  EXPECT_EQ(PackedConv(weight, ConvStorage::int8, options).bytes(), count + 64 * sizeof(float));
  const PackedConv packed(weight, ConvStorage::int8, options);
  EXPECT_EQ(error_of([&] {
              conv2d(random_tensor({1, 4, 4, 64}, 2), packed, {}, Conv2dOptions::padded(1, 2));
            }),
            "conv2d: weight [64, 64, 3, 3] was packed for another stride or padding");
}

TEST(Conv2d, LinearIsA1x1Convolution) {
  const Tensor x = random_tensor({2, 7, 33}, 1), weight = random_tensor({20, 33, 1, 1}, 2);
  const Tensor bias = random_tensor({20}, 3), more = random_tensor({2, 7, 20}, 4);
  const PackedConv packed(weight, ConvStorage::f32, {});
  Tensor want = Tensor::empty({2, 7, 20});
  kernels::naive::convolve({1, 14, 1, 33, 20}, x.f32(), weight.f32(), bias.f32(), want.f32());
  expect_close(linear(x, packed, bias), want, 2e-5);
  for (int64_t i = 0; i < want.numel(); ++i) want.f32()[i] += more.f32()[i];
  expect_close(linear(x, packed, bias, more), want, 2e-5);
}

TEST(Conv2d, Errors) {
  const Tensor x = Tensor::zeros({1, 4, 4, 3}), w = Tensor::zeros({5, 3, 3, 3});
  EXPECT_EQ(error_of([&] { conv2d(Tensor::zeros({1, 4, 4, 2}), w, {}, {}); }),
            "conv2d: x [1, 4, 4, 2] and weight [5, 3, 3, 3], expected [B, H, W, I] and [O, I, kh, kw]");
  EXPECT_EQ(error_of([&] { conv2d(x, w, Tensor::zeros({4}), {}); }),
            "conv2d: bias has shape [4], expected [5]");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {.stride = 0}); }),
            "conv2d: stride is 0, expected 1 or more");
  EXPECT_EQ(error_of([&] { conv2d(Tensor::zeros({1, 2, 4, 3}), w, {}, {}); }),
            "conv2d: a picture of [1, 2, 4, 3] with its padding is smaller than the kernel of [5, 3, 3, 3]");
  Tensor leaf = Tensor::zeros({1, 4, 4, 3});
  leaf.set_requires_grad(true);
  EXPECT_EQ(error_of([&] { conv2d(leaf, PackedConv(w, ConvStorage::f32, {}), {}, {}); }),
            "conv2d: a packed weight [5, 3, 3, 3] has no gradient; load the model as trainable");
}

}  // namespace
}  // namespace sumi::ops

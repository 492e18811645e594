// A UNet whose layers are wide enough for the kernels of published models: the types of its weights against f32, and threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "models/diffusion/wide_unet.h"
#include "tensor/autograd.h"

namespace sumi::models {
namespace {

// Two pictures of a size that tiles do not divide.
UNetInput input() {
  UNetInput input;
  input.sample = Tensor::empty({2, 20, 28, 4});
  for (int64_t i = 0; i < input.sample.numel(); ++i) input.sample.f32()[i] = std::sin(static_cast<float>(3 * i));
  input.timesteps = {500};
  input.context = Tensor::empty({2, 5, 64});
  for (int64_t i = 0; i < input.context.numel(); ++i) input.context.f32()[i] = std::cos(static_cast<float>(i));
  return input;
}

nn::LoadOptions as(ops::PackedWeight::Compute compute, bool int8 = false, bool inputs = true) {
  nn::LoadOptions options;
  options.compute = compute;
  options.int8_weights = int8;
  options.int8_inputs = inputs;
  return options;
}

double decibels(const Tensor& a, const Tensor& exact) {
  double errors = 0, squares = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    errors += std::pow(double{a.f32()[i]} - double{exact.f32()[i]}, 2);
    squares += std::pow(double{exact.f32()[i]}, 2);
  }
  return 10 * std::log10(squares / errors);
}

TEST(WideUNet, EachTypeIsNearF32AndHasTheBitsOfOneThread) {
  const tensor::NoGrad no_grad;
  using Compute = ops::PackedWeight::Compute;
  const Tensor exact = (*wide_unet(as(Compute::f32), 128))(input());
  const int threads = base::num_threads();
  const std::vector<std::pair<nn::LoadOptions, double>> kinds = {
      {as(Compute::bf16), 34}, {as(Compute::bf16, true, false), 31}, {as(Compute::bf16, true), 25.5}};
  for (const auto& [options, least] : kinds) {
    const auto unet = wide_unet(options, 128);
    const Tensor result = (*unet)(input());
    EXPECT_GT(decibels(result, exact), least) << options.int8_weights << options.int8_inputs;
    for (const int count : {1, 2, 3}) {
      base::set_num_threads(count);
      const Tensor again = (*unet)(input());
      EXPECT_TRUE(std::equal(again.f32(), again.f32() + again.numel(), result.f32())) << count << " threads";
    }
    base::set_num_threads(threads);
  }
}

}  // namespace
}  // namespace sumi::models

// What the tests of operations share: random tensors, comparison, finite differences.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tensor/autograd.h"
#include "tensor/tensor.h"

namespace sumi::ops::check {

inline Tensor random_tensor(Shape shape, uint32_t seed, float spread = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, spread);
  Tensor x = Tensor::empty(std::move(shape));
  for (int64_t i = 0; i < x.numel(); ++i) x.f32()[i] = normal(generator);
  return x;
}

// |got - want| <= tolerance (1 + |want|)
inline void expect_close(const Tensor& got, const Tensor& want, double tolerance) {
  ASSERT_EQ(got.shape(), want.shape());
  for (int64_t i = 0; i < got.numel(); ++i)
    ASSERT_NEAR(got.f32()[i], want.f32()[i], tolerance * (1 + std::fabs(want.f32()[i])))
        << "element " << i;
}

inline void expect_same_bits(const Tensor& got, const Tensor& want) {
  ASSERT_EQ(got.shape(), want.shape());
  for (int64_t i = 0; i < got.numel(); ++i)
    ASSERT_EQ(std::bit_cast<uint32_t>(got.f32()[i]), std::bit_cast<uint32_t>(want.f32()[i]))
        << "element " << i << ": " << got.f32()[i] << " and " << want.f32()[i];
}

template <class Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

using Function = std::function<Tensor(const std::vector<Tensor>&)>;

// Compares the gradients of sum(w * function(inputs)), w random, with central differences: for each
// input along several random directions, and along single elements. Steps are 1e-2, sums in double:
// for smooth functions of values around 1 the error is well below 1 %.
inline void expect_gradients(const Function& function, std::vector<Tensor> inputs,
                             double tolerance = 1e-2) {
  for (Tensor& input : inputs) {
    input.set_grad({});
    input.set_requires_grad(true);
  }
  const Tensor output = function(inputs);
  const Tensor weight = random_tensor(output.shape(), 777);
  ASSERT_TRUE(output.requires_grad());
  tensor::backward(output, weight);
  const auto value = [&](const std::vector<Tensor>& at) {
    const tensor::NoGrad no_grad;
    const Tensor y = function(at);
    double sum = 0;
    for (int64_t i = 0; i < y.numel(); ++i) sum += double{y.f32()[i]} * weight.f32()[i];
    return sum;
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    ASSERT_TRUE(inputs[i].grad().defined()) << "input " << i << " got no gradient";
    const int64_t n = inputs[i].numel();
    double norm = 0;
    for (const float g : inputs[i].grad().to_vector()) norm += double{g} * g;
    for (int64_t probe = 0; probe < 8; ++probe) {
      Tensor direction = Tensor::zeros(inputs[i].shape());
      if (probe < 3)
        direction = random_tensor(inputs[i].shape(), static_cast<uint32_t>(100 + probe),
                                  1 / std::sqrt(static_cast<float>(n)));
      else
        direction.f32()[(probe * 7919) % n] = 1;
      std::vector<Tensor> up = inputs, down = inputs;
      up[i] = inputs[i].clone();
      down[i] = inputs[i].clone();
      double analytic = 0;
      constexpr float kStep = 1e-2f;
      for (int64_t j = 0; j < n; ++j) {
        up[i].f32()[j] += kStep * direction.f32()[j];
        down[i].f32()[j] -= kStep * direction.f32()[j];
        analytic += double{inputs[i].grad().f32()[j]} * direction.f32()[j];
      }
      const double numeric = (value(up) - value(down)) / (2 * kStep);
      ASSERT_NEAR(analytic, numeric,
                  tolerance * (0.1 * std::sqrt(norm) + std::fabs(numeric)) + 1e-4)
          << "input " << i << ", probe " << probe;
    }
  }
}

}  // namespace sumi::ops::check

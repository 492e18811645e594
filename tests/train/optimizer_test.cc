// Optimisers, clipping and the moving average against torch, transformers and diffusers.
#include "train/optimizer.h"

#include <cstring>

#include "base/error.h"
#include "expected.h"
#include "kernels/eight_bit.h"
#include "kernels/optimizer.h"
#include "train/ema.h"

namespace sumi::train {
namespace {

constexpr double kRate = 3e-2;
constexpr int kSteps = 10;
const std::vector<std::string> kNames = {"matrix", "vector"};

std::vector<Parameter> start(const formats::SafetensorsFile& file) {
  std::vector<Parameter> parameters;
  for (const std::string& name : kNames) {
    Tensor value = file.get("start." + name).clone();
    value.set_requires_grad(true);
    parameters.push_back({name, value, true});
  }
  return parameters;
}

void set_gradients(std::vector<Parameter>& parameters, const formats::SafetensorsFile& file,
                   int64_t step) {
  for (Parameter& parameter : parameters)
    parameter.value.set_grad(file.get("grad." + parameter.name)
                                 .rows(step, 1)
                                 .view(parameter.value.shape())
                                 .clone());
}

OptimizerOptions options_of(const std::string& name) {
  OptimizerOptions options;
  options.name = name == "sgd_momentum" ? "sgd" : name;
  options.beta2 = 0.99;
  options.eps = 1e-6;
  options.weight_decay = 0.1;
  options.momentum = name == "sgd_momentum" ? 0.9 : 0;
  return options;
}

class OptimizerCase : public testing::TestWithParam<const char*> {};

TEST_P(OptimizerCase, TenStepsEqualTheReference) {
  const formats::SafetensorsFile file = expected_file("optimizers.safetensors");
  std::vector<Parameter> parameters = start(file);
  Optimizer optimizer(parameters, options_of(GetParam()));
  for (int step = 0; step < kSteps; ++step) {
    set_gradients(parameters, file, step);
    optimizer.step(kRate);
  }
  for (const Parameter& parameter : parameters)
    expect_close(parameter.value, file.get(std::string(GetParam()) + "." + parameter.name), 2e-6,
                 parameter.name);
}

TEST_P(OptimizerCase, GoesOnFromASavedStateWithTheSameBits) {
  const formats::SafetensorsFile file = expected_file("optimizers.safetensors");
  std::vector<Parameter> whole = start(file), first = start(file);
  Optimizer all(whole, options_of(GetParam())), before(first, options_of(GetParam()));
  for (int step = 0; step < kSteps; ++step) {
    set_gradients(whole, file, step);
    all.step(kRate);
    if (step >= 4) continue;
    set_gradients(first, file, step);
    before.step(kRate);
  }
  std::vector<Parameter> second;
  for (const Parameter& parameter : first) {
    second.push_back({parameter.name, parameter.value.clone(), true});
    second.back().value.set_requires_grad(true);
  }
  Optimizer after(second, options_of(GetParam()));
  std::vector<std::pair<std::string, Tensor>> saved;
  for (const auto& [name, tensor] : before.state()) saved.emplace_back(name, tensor.clone());
  after.load_state(before.steps(), [&](const std::string& name) {
    for (const auto& [have, tensor] : saved)
      if (have == name) return tensor;
    fail("no state {}", name);
  });
  for (int step = 4; step < kSteps; ++step) {
    set_gradients(second, file, step);
    after.step(kRate);
  }
  for (size_t i = 0; i < whole.size(); ++i)
    EXPECT_EQ(std::memcmp(whole[i].value.bytes(), second[i].value.bytes(),
                          static_cast<size_t>(whole[i].value.nbytes())),
              0);
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerCase,
                         testing::Values("adamw", "adafactor", "lion", "sgd", "sgd_momentum"),
                         [](const auto& param) { return std::string(param.param); });

// The 8-bit moments are rounded at each step: the way is the same within a few per cent of a step.
TEST(AdamW8Bit, FollowsAdamW) {
  const formats::SafetensorsFile file = expected_file("optimizers.safetensors");
  std::vector<Parameter> parameters = start(file);
  OptimizerOptions options = options_of("adamw_8bit");
  options.eps = 1e-3;  // near a vanishing gradient the direction is noise in both
  std::vector<Parameter> exact = start(file);
  Optimizer optimizer(parameters, options);
  options.name = "adamw";
  Optimizer reference(exact, options);
  for (int step = 0; step < kSteps; ++step) {
    set_gradients(parameters, file, step);
    set_gradients(exact, file, step);
    optimizer.step(kRate);
    reference.step(kRate);
  }
  double difference = 0, way = 0;
  const Tensor before = file.get("start.matrix");
  for (int64_t i = 0; i < before.numel(); ++i) {
    const double e = exact[0].value.f32()[i];
    difference += std::pow(parameters[0].value.f32()[i] - e, 2);
    way += std::pow(e - before.f32()[i], 2);
  }
  EXPECT_LT(std::sqrt(difference / way), 0.06);
  EXPECT_GT(difference, 0);  // it is the rounded rule that ran
  expect_close(parameters[1].value, exact[1].value, 1e-7, "a small parameter is not rounded");
  EXPECT_LT(optimizer.state_bytes(), reference.state_bytes() * 3 / 10);
}

TEST(EightBit, ValuesAreThoseOfThePaperAndRoundingIsToTheNearest) {
  for (const bool is_signed : {true, false}) {
    const auto& values = kernels::eight_bit_values(is_signed);
    EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
    EXPECT_EQ(std::adjacent_find(values.begin(), values.end()), values.end());
    EXPECT_EQ(values[255], 1.0f);
    EXPECT_NEAR(values[254], is_signed ? 0.99296875 : 0.996484375, 1e-7);
    EXPECT_NEAR(values[is_signed ? 128 : 1], is_signed ? 5.5e-7 : 3.25e-7, 1e-12);
    EXPECT_EQ(values[is_signed ? 127 : 0], 0.0f);
    for (int i = 0; i <= 4000; ++i) {
      const float x = (is_signed ? -1.0f : 0.0f) + static_cast<float>(i) / (is_signed ? 2000 : 4000);
      for (const float v : {x, x * 1e-3f, x * 1e-6f}) {
        const float found = values[kernels::nearest_eight_bit(v, is_signed)];
        for (const float other : values)
          ASSERT_LE(std::fabs(found - v), std::fabs(other - v) + 2e-7f * std::fabs(v)) << v;
      }
    }
  }
}

TEST(EightBit, EveryCopyRoundsABlockToTheNearestAndReadsItBack) {
  for (const base::Isa isa : base::runnable_isas())
    for (const bool is_signed : {true, false})
      for (const int64_t count : {256, 37})
        for (const float scale : {1.0f, 3e-5f}) {
          const auto& values = kernels::eight_bit_values(is_signed);
          for (int step = 0; step < 200; ++step) {
            std::vector<float> x(static_cast<size_t>(count)), back(x.size());
            std::vector<uint8_t> codes(x.size());
            for (size_t i = 0; i < x.size(); ++i) {  // all decades; the first is the largest
              const double place = static_cast<double>(i) * 7.5 / static_cast<double>(count) + step * 1e-4;
              const auto magnitude = scale * static_cast<float>(std::pow(10.0, -place));
              x[i] = is_signed && (i + static_cast<size_t>(step)) % 2 ? -magnitude : magnitude;
            }
            x.back() = 0;
            const kernels::EightBitKernels& eight_bit = kernels::eight_bit_kernels_for(isa);
            const float found = eight_bit.write(x.data(), is_signed, count, codes.data());
            ASSERT_EQ(found, std::fabs(x[0]));
            eight_bit.read(codes.data(), found, is_signed, count, back.data());
            for (size_t i = 0; i < x.size(); ++i) {
              const float v = x[i] * (1 / found), nearest = values[kernels::nearest_eight_bit(v, is_signed)];
              ASSERT_NEAR(back[i], values[codes[i]] * found, 2e-6f * std::fabs(back[i]));
              ASSERT_LE(std::fabs(values[codes[i]] - v), std::fabs(nearest - v) + 1e-6f * std::fabs(v)) << v;
            }
            EXPECT_TRUE(x[0] < 0 || back[0] == x[0]) << "there is no -1, but 1";
            EXPECT_EQ(back.back(), 0.0f);
          }
        }
}

TEST(AdamWKernel, EveryCopyGivesAnElementTheSameBitsWhereverItLies) {
  for (const base::Isa isa : base::runnable_isas()) {
    const kernels::AdamWStep step = {.keep = 0.999f, .beta1 = 0.9f, .beta2 = 0.99f,
                                     .step_size = 0.1f, .inverse_root = 1.5f, .eps = 1e-6f};
    std::vector<float> g(67), p(67), m(67), v(67);
    for (size_t i = 0; i < 67; ++i) {
      g[i] = std::sin(static_cast<float>(i));
      p[i] = std::cos(static_cast<float>(3 * i));
      m[i] = g[i] / 3;
      v[i] = p[i] * p[i];
    }
    std::vector<float> p1 = p, m1 = m, v1 = v, p2 = p, m2 = m, v2 = v;
    kernels::adamw_kernel_for(isa)(step, g.data(), p1.data(), m1.data(), v1.data(), 67);
    for (size_t i = 0; i < 67; ++i) {
      kernels::adamw_kernel_for(isa)(step, &g[i], &p2[i], &m2[i], &v2[i], 1);
      EXPECT_EQ(p1[i], p2[i]);
      const double mean = m[i] + (g[i] - m[i]) * 0.1, square = 0.99 * v[i] + 0.01 * g[i] * g[i];
      EXPECT_NEAR(p1[i], p[i] * 0.999 - 0.1 * mean / (std::sqrt(square) * 1.5 + 1e-6), 1e-5);
    }
  }
}

TEST(Gradients, AreClippedAsTorchDoes) {
  const formats::SafetensorsFile file = expected_file("optimizers.safetensors");
  std::vector<Parameter> parameters = start(file);
  set_gradients(parameters, file, 0);
  const double norm = file.get("norm").f32()[0];
  EXPECT_NEAR(gradient_norm(parameters), norm, 1e-5 * norm);
  EXPECT_EQ(clip_factor(norm, 0), 1);         // no limit
  EXPECT_EQ(clip_factor(norm, 2 * norm), 1);  // already shorter
  // One step of gradient descent at rate 1 shows what the optimiser makes of the gradients.
  OptimizerOptions descent = options_of("sgd");
  descent.weight_decay = 0;
  std::vector<Tensor> before;
  for (const Parameter& parameter : parameters) before.push_back(parameter.value.clone());
  Optimizer(parameters, descent).step(1, clip_factor(norm, 1));
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor clipped = file.get("clipped." + parameters[i].name);
    Tensor expected = before[i];
    for (int64_t e = 0; e < expected.numel(); ++e) expected.f32()[e] -= clipped.f32()[e];
    expect_close(parameters[i].value, expected, 1e-6, parameters[i].name);
    EXPECT_FALSE(parameters[i].value.grad().defined()) << "a gradient outlives its step";
  }
}

TEST(Gradients, KeptInBf16GiveTheStepOfTheRoundedOnes) {
  const formats::SafetensorsFile file = expected_file("optimizers.safetensors");
  std::vector<Parameter> narrow = start(file), rounded = start(file);
  Optimizer of_narrow(narrow, options_of("adamw")), of_rounded(rounded, options_of("adamw"));
  for (int step = 0; step < 2; ++step) {
    set_gradients(rounded, file, step);
    for (size_t i = 0; i < narrow.size(); ++i) {
      const Tensor bf16 = rounded[i].value.grad().to(DType::bf16);
      rounded[i].value.set_grad(bf16.to(DType::f32));
      narrow[i].value.autograd()->grad = bf16;
    }
    const double norm = gradient_norm(narrow);
    EXPECT_EQ(norm, gradient_norm(rounded));
    of_narrow.step(kRate, clip_factor(norm, 1));
    of_rounded.step(kRate, clip_factor(norm, 1));
    for (size_t i = 0; i < narrow.size(); ++i) expect_close(narrow[i].value, rounded[i].value, 0, narrow[i].name);
  }
}

TEST(Ema, EqualsDiffusers) {
  const formats::SafetensorsFile file = expected_file("optimizers.safetensors");
  std::vector<Parameter> parameters = start(file);
  Optimizer optimizer(parameters, options_of("adamw"));
  Ema ema(parameters, 0.2);
  for (int step = 0; step < kSteps; ++step) {
    set_gradients(parameters, file, step);
    optimizer.step(kRate);
    ema.update();
  }
  const Tensor live = parameters[0].value.clone();
  expect_close(ema.averages()[0], file.get("ema.matrix"), 2e-6, "average");
  ema.swap();
  expect_close(parameters[0].value, file.get("ema.matrix"), 2e-6, "swapped in");
  ema.swap();
  expect_close(parameters[0].value, live, 0, "swapped back");
  EXPECT_THROW(Ema(parameters, 1), Error);
}

TEST(Optimizer, RefusesWhatItDoesNotKnow) {
  const auto message = [](const OptimizerOptions& options) -> std::string {
    try {
      check_optimizer_options(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({.name = "adam"}),
            "optimizer: expected adamw, adamw_8bit, adafactor, lion or sgd, found adam");
  EXPECT_NE(message({.beta2 = 1}).find("beta2"), std::string::npos);
  EXPECT_NE(message({.weight_decay = -0.1}).find("weight_decay"), std::string::npos);
}

}  // namespace
}  // namespace sumi::train

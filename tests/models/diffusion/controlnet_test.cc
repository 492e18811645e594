// Tiny ControlNets against diffusers' outputs and PyTorch's gradients.
#include "models/diffusion/controlnet.h"

#include "base/error.h"
#include "formats/weights_folder.h"
#include "models/diffusion/unet_reference.h"
#include "ops/ops.h"
#include "tensor/autograd.h"

namespace sumi::models {
namespace {

using Compute = ops::PackedWeight::Compute;

class ControlNetCase : public testing::TestWithParam<const char*> {};

TEST_P(ControlNetCase, EqualsDiffusers) {
  const tensor::NoGrad no_grad;
  const StepReference reference(GetParam());
  const auto net = ControlNet::open(diffusion_folder(GetParam()), load_as(Compute::f32));
  const Tensor condition = reference.get("condition");
  const UNetResiduals plain = (*net)(reference.input(), condition);
  const UNetResiduals guess = (*net)(reference.input(), condition, {.scale = 0.6f, .guess = true});
  ASSERT_EQ(plain.down.size(), 4u);
  for (size_t i = 0; i < plain.down.size(); ++i) {
    const std::string name = "down." + std::to_string(i);
    EXPECT_LE(largest_error(plain.down[i], reference.get(name)), 1e-4) << name;
    EXPECT_LE(largest_error(guess.down[i], reference.get("guess." + name)), 1e-4) << name;
  }
  EXPECT_LE(largest_error(plain.mid, reference.get("mid")), 1e-4);
  EXPECT_LE(largest_error(guess.mid, reference.get("guess.mid")), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Reference, ControlNetCase,
                         testing::Values("controlnet", "controlnet_bgr", "controlnet_gradients"),
                         [](const auto& param) { return std::string(param.param); });

TEST(ControlNet, GradientsEqualPyTorchs) {
  for (const bool checkpointing : {false, true}) {
    const StepReference reference("controlnet_gradients");
    const auto net =
        ControlNet::open(diffusion_folder("controlnet_gradients"), load_as(Compute::f32, true));
    net->set_checkpointing(checkpointing);
    const UNetResiduals out = (*net)(reference.input(), reference.get("condition"));
    // One scalar: the sum over all results of result * weight.
    const auto weighted = [&](const Tensor& x, const std::string& name) {
      const Tensor products = ops::mul(x, reference.get(name));
      return ops::linear(ops::reshape(products, {1, x.numel()}), Tensor::full({1, x.numel()}, 1));
    };
    Tensor loss = weighted(out.mid, "grad_mid");
    for (size_t i = 0; i < out.down.size(); ++i)
      loss = ops::add(loss, weighted(out.down[i], "grad_down." + std::to_string(i)));
    tensor::backward(loss);
    reference.expect_gradients(net->parameters());
  }
}

// Two nets' residuals, summed, reach the UNet as they do in diffusers.
TEST(ControlNet, SteersTheUNet) {
  const tensor::NoGrad no_grad;
  const StepReference control("controlnet"), reference("controlled");
  const auto net = ControlNet::open(diffusion_folder("controlnet"), load_as(Compute::f32));
  const auto unet = UNet::open(diffusion_folder("controlled"), load_as(Compute::f32));
  UNetResiduals residuals = (*net)(control.input(), control.get("condition"));
  residuals.add((*net)(control.input(), control.get("condition")));
  const Tensor output = (*unet)(reference.input(), &residuals);
  EXPECT_LE(largest_error(output, reference.get("controlled")), 1e-4);
  EXPECT_GT(largest_error(output, reference.get("output")), 0.01);
}

TEST(ControlNet, FreshOneChangesNothing) {
  const std::string folder = diffusion_folder("controlled");
  const StepReference reference("controlled");
  const Config unet_json = Config::read(folder + "/config.json");
  const auto source = formats::open_weights_folder(folder);
  const Config config(controlnet_config_json(unet_json, 3, "rgb"), "controlnet/config.json");
  const auto fresh = ControlNet::from_unet(config, *source, 42);
  const auto unet = UNet::open(folder, load_as(Compute::f32, true));
  const UNetInput input = reference.input();
  const Shape& sample = input.sample.shape();
  const UNetResiduals residuals =
      (*fresh)(input, Tensor::full({sample[0], 8 * sample[1], 8 * sample[2], 3}, 0.5f));
  const Tensor with = (*unet)(input, &residuals), without = (*unet)(input);
  for (int64_t i = 0; i < with.numel(); ++i) ASSERT_EQ(with.f32()[i], without.f32()[i]);
  // The zero convolutions learn at the first step, what is behind them not yet.
  tensor::backward(with, Tensor::full(with.shape(), 1));
  double zero_convolutions = 0, behind = 0;
  for (const auto& [name, parameter] : fresh->parameters()) {
    ASSERT_TRUE(parameter.grad().defined()) << name;
    double& sum = name.rfind("controlnet_down_blocks.", 0) == 0 ||
                          name.rfind("controlnet_mid_block.", 0) == 0
                      ? zero_convolutions
                      : behind;
    for (const float g : parameter.grad().to_vector()) sum += std::fabs(g);
  }
  EXPECT_GT(zero_convolutions, 0);
  EXPECT_EQ(behind, 0);
  // The same seed gives the same net, another does not.
  const auto weight = [&](uint64_t seed) {
    const auto net = ControlNet::from_unet(config, *source, seed);
    for (const auto& [name, parameter] : net->parameters())
      if (name == "controlnet_cond_embedding.conv_in.weight") return parameter.to_vector();
    return std::vector<float>();
  };
  ASSERT_FALSE(weight(1).empty());
  EXPECT_EQ(weight(1), weight(1));
  EXPECT_NE(weight(1), weight(2));
}

TEST(ControlNet, Errors) {
  const StepReference reference("controlnet");
  const auto net = ControlNet::open(diffusion_folder("controlnet"), load_as(Compute::f32));
  try {
    (*net)(reference.input(), Tensor::zeros({2, 32, 32, 3}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("condition [2, 32, 32, 3], expected [2, 32, 48, 3]"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace sumi::models

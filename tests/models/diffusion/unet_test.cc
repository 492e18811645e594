// Tiny UNets of every kind against diffusers' outputs and PyTorch's gradients.
#include "models/diffusion/unet.h"

#include "base/error.h"
#include "formats/weights_folder.h"
#include "kernels/onednn_conv.h"
#include "models/diffusion/unet_reference.h"
#include "ops/ops.h"
#include "tensor/autograd.h"

namespace sumi::models {
namespace {

using Compute = ops::PackedWeight::Compute;

class UNetCase : public testing::TestWithParam<const char*> {};

TEST_P(UNetCase, EqualsDiffusers) {
  const tensor::NoGrad no_grad;
  const StepReference reference(GetParam());
  const auto net = UNet::open(diffusion_folder(GetParam()), load_as(Compute::f32));
  EXPECT_LE(largest_error((*net)(reference.input()), reference.get("output")), 1e-4);
}

TEST_P(UNetCase, TrainableIsTheSame) {
  const StepReference reference(GetParam());
  const auto net = UNet::open(diffusion_folder(GetParam()), load_as(Compute::f32, true));
  EXPECT_LE(largest_error((*net)(reference.input()), reference.get("output")), 1e-4);
}

TEST_P(UNetCase, Bf16IsClose) {
  const tensor::NoGrad no_grad;
  const StepReference reference(GetParam());
  const auto net = UNet::open(diffusion_folder(GetParam()), load_as(Compute::bf16));
  const double error = largest_error((*net)(reference.input()), reference.get("output"));
  EXPECT_LE(error, 0.1);
  // Most files' weights are bf16 as they are; a processor that multiplies bf16 rounds the inputs, too.
  if (kernels::onednn::convolves_bf16()) {
    EXPECT_GT(error, 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, UNetCase,
                         testing::Values("sd1", "sd1_odd", "sd2", "inpaint", "upscaler", "xl",
                                         "options", "projection", "controlled", "gradients"),
                         [](const auto& param) { return std::string(param.param); });

TEST(UNet, GradientsEqualPyTorchs) {
  for (const bool checkpointing : {false, true}) {
    const StepReference reference("gradients");
    const auto net = UNet::open(diffusion_folder("gradients"), load_as(Compute::f32, true));
    net->set_checkpointing(checkpointing);
    const Tensor output = (*net)(reference.input());
    tensor::backward(output, reference.get("grad_output"));
    reference.expect_gradients(net->parameters());
  }
}

// A copy of a case whose config.json has another value.
std::string error_with(const std::string& name, const std::string& key,
                       const nlohmann::json& value) {
  const std::string folder = diffusion_folder(name);
  nlohmann::json json = Config::read(folder + "/config.json").json();
  json[key] = value;
  const auto source = formats::open_weights_folder(folder);
  try {
    UNet(Config(json, "config.json"), *source, load_as(Compute::f32));
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(UNet, UnknownValuesAreNamed) {
  EXPECT_EQ(error_with("sd1", "act_fn", "gelu"),
            "config.json: act_fn: expected silu, found \"gelu\"");
  EXPECT_EQ(error_with("sd1", "down_block_types", {"CrossAttnDownBlock2D", "ResnetDownsampleBlock2D"}),
            "config.json: down_block_types: expected DownBlock2D or CrossAttnDownBlock2D, found "
            "ResnetDownsampleBlock2D");
  EXPECT_EQ(error_with("sd1", "addition_embed_type", "image"),
            "config.json: addition_embed_type: expected null or text_time, found \"image\"");
  EXPECT_EQ(error_with("sd1", "a_new_switch", 3),
            "config.json: a_new_switch: this field is not known (its value is 3)");
  EXPECT_EQ(error_with("sd1", "attention_head_dim", {2, 2, 2}),
            "config.json: attention_head_dim: expected a whole number from 1 on, or a list of 2 (one "
            "per block), found [2,2,2]");
  EXPECT_EQ(error_with("sd1", "dual_cross_attention", true),
            "config.json: dual_cross_attention: expected false, found true");
  EXPECT_NE(error_with("sd1", "mid_block_type", nullptr).find("that the configuration does not call for"),
            std::string::npos);
  EXPECT_NE(error_with("sd1", "in_channels", 5).find("conv_in.weight: expected shape [8, 5, 3, 3], "
                                                     "found [8, 4, 3, 3]"),
            std::string::npos);
}

TEST(UNet, InputsAreChecked) {
  const tensor::NoGrad no_grad;
  const StepReference reference("upscaler");
  const auto net = UNet::open(diffusion_folder("upscaler"), load_as(Compute::f32));
  const auto error_of = [&](auto change) {
    UNetInput input = reference.input();
    change(input);
    try {
      (*net)(input);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(error_of([](UNetInput& in) { in.sample = Tensor::zeros({2, 4, 4, 4}); })
                .find("sample [2, 4, 4, 4], expected [B, H, W, 7]"),
            std::string::npos);
  EXPECT_NE(error_of([](UNetInput& in) { in.classes.clear(); }).find("needs class numbers"),
            std::string::npos);
  EXPECT_NE(error_of([](UNetInput& in) { in.context = Tensor::zeros({2, 5, 11}); })
                .find("text embedding [2, 5, 11], expected [2, T, 12]"),
            std::string::npos);
  EXPECT_EQ(error_of([](UNetInput& in) { in.timesteps = {1, 2, 3}; }),
            "UNet: 3 timesteps for 2 pictures, expected one or one each");
}

}  // namespace
}  // namespace sumi::models

// What skips or merges work in a UNet: deep features of a step before, merged tokens.
#include "base/error.h"
#include "models/diffusion/unet.h"
#include "models/diffusion/unet_reference.h"
#include "tensor/autograd.h"

namespace sumi::models {
namespace {

using Compute = ops::PackedWeight::Compute;

class Shortcuts : public testing::TestWithParam<const char*> {
 protected:
  const tensor::NoGrad no_grad_;
  const StepReference reference_{GetParam()};
  const std::unique_ptr<UNet> net_ = UNet::open(diffusion_folder(GetParam()), load_as(Compute::f32));
};

TEST_P(Shortcuts, ADeepFeatureOfTheSameInputChangesNothing) {
  const UNetInput input = reference_.input();
  const Tensor whole = (*net_)(input);
  DeepFeature deep;
  EXPECT_EQ(largest_error((*net_)(input, nullptr, &deep), whole), 0);
  deep.reused = true;
  EXPECT_EQ(largest_error((*net_)(input, nullptr, &deep), whole), 0);
}

TEST_P(Shortcuts, ADeepFeatureOfAnotherInputIsWhatIsReused) {
  UNetInput input = reference_.input();
  DeepFeature deep;
  (*net_)(input, nullptr, &deep);
  deep.reused = true;
  for (float& t : input.timesteps) t += 100;
  const Tensor whole = (*net_)(input), mixed = (*net_)(input, nullptr, &deep);
  EXPECT_GT(largest_error(mixed, whole), 1e-6);
  DeepFeature own;
  (*net_)(input, nullptr, &own);
  EXPECT_GT(largest_error(own.x, deep.x), 1e-6);
  deep.x = own.x;
  EXPECT_EQ(largest_error((*net_)(input, nullptr, &deep), whole), 0);
}

TEST_P(Shortcuts, MergedTokensChangeTheResultAndNoneDoNot) {
  UNetInput input = reference_.input();
  const Tensor whole = (*net_)(input);
  input.token_merging = 0.5;
  const Tensor merged = (*net_)(input);
  EXPECT_GT(largest_error(merged, whole), 1e-7);
  EXPECT_EQ(largest_error((*net_)(input), merged), 0) << "deterministic";
  input.token_merging = 1e-9;  // no whole token
  EXPECT_LE(largest_error((*net_)(input), whole), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Reference, Shortcuts, testing::Values("sd1", "sd1_odd", "sd2", "xl"),
                         [](const auto& param) { return std::string(param.param); });

TEST(DeepFeature, OfAnotherShapeOrBesideAControlNetIsRefused) {
  const tensor::NoGrad no_grad;
  const StepReference reference("sd1");
  const auto net = UNet::open(diffusion_folder("sd1"), load_as(Compute::f32));
  DeepFeature deep;
  deep.reused = true;
  EXPECT_THROW((*net)(reference.input(), nullptr, &deep), Error);
  deep.x = Tensor::zeros({1, 3, 5, 8});
  EXPECT_THROW((*net)(reference.input(), nullptr, &deep), Error);
  const UNetResiduals residuals;
  EXPECT_THROW((*net)(reference.input(), &residuals, &deep), Error);
}

}  // namespace
}  // namespace sumi::models

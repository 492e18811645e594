// All gradients of tiny models against PyTorch's.
#include "ops/loss.h"
#include "reference.h"
#include "tensor/autograd.h"

namespace sumi::models {
namespace {

class GradientCase : public testing::TestWithParam<const char*> {};

// Conv1D's [in, out] as the decoder keeps it, [out, in].
Tensor transposed(const Tensor& x) {
  Tensor y = Tensor::empty({x.size(1), x.size(0)});
  for (int64_t r = 0; r < x.size(0); ++r)
    for (int64_t c = 0; c < x.size(1); ++c) y.f32()[c * x.size(0) + r] = x.f32()[r * x.size(1) + c];
  return y;
}

TEST_P(GradientCase, EqualPyTorchs) {
  const Expected expected(GetParam());
  const LanguageModelFiles files = open_case(GetParam(), ComputeType::automatic, true);
  const Tensor batch = expected.get("batch_ids");
  const int64_t rows = batch.size(0), length = batch.size(1);
  // The target of each position is the next id; the last has none.
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t t = 0; t < length; ++t)
      targets.push_back(t + 1 < length ? batch.data<int32_t>()[r * length + t + 1]
                                       : ops::kIgnoreIndex);
  const Tensor loss =
      ops::cross_entropy(files.model->forward(batch), Tensor::from_ids(targets, {rows, length}));
  EXPECT_NEAR(loss.f32()[0], expected.get("loss").f32()[0], 1e-5 * loss.f32()[0]);
  tensor::backward(loss);
  size_t compared = 0;
  for (const auto& [name, parameter] : files.model->parameters()) {
    ASSERT_TRUE(expected.file().has("grad." + name)) << name;
    ASSERT_TRUE(parameter.grad().defined()) << name;
    Tensor gradient = expected.get("grad." + name);
    if (std::string(GetParam()) == "gpt2" && name.find(".c_") != std::string::npos &&
        gradient.dim() == 2)
      gradient = transposed(gradient);
    EXPECT_LE(relative_error(parameter.grad(), gradient), 1e-4) << name;
    ++compared;
  }
  size_t all = 0;
  for (const formats::TensorInfo& info : expected.file().tensors())
    all += info.name.rfind("grad.", 0) == 0;
  EXPECT_EQ(compared, all);
}

INSTANTIATE_TEST_SUITE_P(Reference, GradientCase,
                         testing::Values("llama", "gpt2", "rwkv", "gpt_bigcode", "mpt"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace sumi::models

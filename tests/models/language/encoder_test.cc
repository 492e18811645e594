// BERT and RoBERTa against transformers (tests/data/encoders, written by
// tools/reference/encoders.py).
#include "reference.h"

namespace sumi::models {
namespace {

std::string folder(const std::string& name) {
  return std::string(SUMI_TEST_DATA) + "/encoders/" + name;
}

LanguageModelFiles open(const std::string& name, ComputeType compute) {
  OpenOptions options;
  options.compute = compute;
  return open_language_model(folder(name), options);
}

class EncoderCase : public testing::TestWithParam<const char*> {};

TEST_P(EncoderCase, HiddenStatesEqualTransformers) {
  const formats::SafetensorsFile expected(folder(GetParam()) + "/expected.safetensors");
  const Tensor ids = expected.get("ids"), want = expected.get("hidden");
  const Tensor batch = ids.view({1, ids.numel()});
  const LanguageModelFiles f32 = open(GetParam(), ComputeType::f32);
  EXPECT_LE(relative_error(f32.model->hidden_states(batch).view(want.shape()), want), 1e-4);
  const LanguageModelFiles stored = open(GetParam(), ComputeType::automatic);
  EXPECT_LE(relative_deviation(stored.model->hidden_states(batch).view(want.shape()), want), 0.05);
  EXPECT_FALSE(f32.model->continues_text());
  const std::vector<int32_t> one = {7};
  EXPECT_THROW(f32.model->forward(one, *f32.model->new_state(), LogitsFor::last), Error);
  EXPECT_THROW(f32.model->forward(batch), Error);
}

INSTANTIATE_TEST_SUITE_P(All, EncoderCase,
                         testing::Values("bert", "bert_masked", "roberta", "xlm_roberta"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace sumi::models

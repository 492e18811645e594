// T5, T5 v1.1, mT5, UMT5, UL2 and an encoder alone against transformers (tests/data/t5, written by
// tools/reference/t5.py), and GGUF files with the same weights (t5_gguf.py).
#include "models/language/t5/t5.h"

#include "base/threads.h"
#include "formats/json.h"
#include "models/language/t5_reference.h"
#include "ops/loss.h"
#include "tensor/autograd.h"

namespace sumi::models {
namespace {

class T5Case : public testing::TestWithParam<const char*> {};

TEST_P(T5Case, EqualsTransformers) {
  const T5Files c(GetParam());
  const Tensor encoded = c.t5().encoded(c.batch("source_ids"));
  EXPECT_LE(
      relative_error(encoded.view(c.expected.get("encoded").shape()), c.expected.get("encoded")),
      1e-4);
  if (c.t5().spec().decoder_layers == 0) return;
  const std::vector<int32_t> source = c.ids("source_ids"), target = c.ids("target_ids");
  const Tensor whole = written(*c.files.model, source, target, target.size());
  EXPECT_LE(relative_error(whole, c.expected.get("logits")), 1e-4);
  EXPECT_LE(relative_error(c.t5().forward(c.batch("source_ids"), c.batch("target_ids")),
                           c.expected.get("logits")),
            1e-4)
      << "the path of training";
  EXPECT_TRUE(same_bits(whole, written(*c.files.model, source, target, 5))) << "pieces of 5";
  EXPECT_TRUE(same_bits(whole, written(*c.files.model, source, target, 1))) << "token by token";

  const auto state = c.files.model->encode(source);
  std::vector<int32_t> ids, next = c.files.model->decoder_start();
  while (ids.size() < 24) {
    const Tensor logits = c.files.model->forward(next, *state, LogitsFor::last);
    ids.push_back(static_cast<int32_t>(
        std::max_element(logits.f32(), logits.f32() + logits.numel()) - logits.f32()));
    next = {ids.back()};
  }
  EXPECT_EQ(ids, c.ids("greedy_ids"));
}

// 300 tokens go beyond every distance that has a bias of its own, and through pages of the cache.
TEST_P(T5Case, LikelihoodOfALongTargetEqualsTransformers) {
  const T5Files c(GetParam());
  if (c.t5().spec().decoder_layers == 0) return;
  const std::vector<int32_t> target = c.ids("nll_ids");
  std::vector<int32_t> given = c.files.model->decoder_start();
  given.insert(given.end(), target.begin(), target.end() - 1);
  const Tensor logits = written(*c.files.model, c.ids("source_ids"), given, 100);
  const Tensor loss = ops::cross_entropy(logits, Tensor::from_ids(target, {300}));
  EXPECT_NEAR(loss.f32()[0], c.expected.get("nll").f32()[0], 1e-4);
}

TEST_P(T5Case, OtherComputeTypesAreNear) {
  for (const ComputeType compute : {ComputeType::bf16, ComputeType::automatic}) {
    const T5Files c(GetParam(), compute);
    EXPECT_LE(relative_deviation(c.t5().encoded(c.batch("source_ids")), c.expected.get("encoded")),
              0.05);
  }
}

INSTANTIATE_TEST_SUITE_P(All, T5Case,
                         testing::Values("t5", "t5_gated", "mt5", "mt5_head", "umt5", "ul2", "t5_encoder", "t5_128",
                                         "t5_gated_128", "umt5_128", "t5_encoder_128",
                                         "gguf_t5_128", "gguf_t5_gated_128", "gguf_umt5_128",
                                         "gguf_t5_encoder_128"),
                         [](const auto& info) { return std::string(info.param); });

TEST(T5, GradientsEqualPyTorch) {
  const T5Files c("t5_gated", ComputeType::f32, true);
  const Tensor logits = c.t5().forward(c.batch("source_ids"), c.batch("target_ids"));
  const std::vector<int32_t> target = c.ids("target_ids");
  const int64_t count = static_cast<int64_t>(target.size()) - 1;
  std::vector<int32_t> labels(target.begin() + 1, target.end());
  labels.push_back(-100);
  const Tensor loss = ops::cross_entropy(logits, Tensor::from_ids(labels, {1, count + 1}));
  EXPECT_NEAR(loss.f32()[0], c.expected.get("loss").f32()[0], 1e-4);
  tensor::backward(loss);
  size_t compared = 0;
  for (const auto& [name, parameter] : c.files.model->parameters()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(c.expected.has("grad." + name));
    EXPECT_LE(relative_error(parameter.grad(), c.expected.get("grad." + name)), 1e-4);
    ++compared;
  }
  EXPECT_GT(compared, 30u);
}

TEST(T5, SameBitsWithAnyNumberOfThreadsAndFromACopy) {
  const T5Files c("t5");
  const std::vector<int32_t> source = c.ids("source_ids"), target = c.ids("target_ids");
  const int before = base::num_threads();
  base::set_num_threads(1);
  const Tensor one = written(*c.files.model, source, target, 3);
  base::set_num_threads(3);
  EXPECT_TRUE(same_bits(one, written(*c.files.model, source, target, 3)));
  base::set_num_threads(before);

  const auto state = c.files.model->encode(source);
  c.files.model->forward({target.data(), 9}, *state, LogitsFor::none);
  const auto copy = state->clone();
  c.files.model->forward({target.data() + 20, 4}, *copy, LogitsFor::none);
  state->truncate(7);
  const Tensor end =
      c.files.model->forward({target.data() + 7, target.size() - 7}, *state, LogitsFor::last);
  EXPECT_TRUE(same_bits(end, one.rows(one.size(0) - 1, 1)));
  EXPECT_EQ(copy->length(), 13);
}

class T5Errors : public testing::Test {
 protected:
  static std::string message(const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json object = formats::read_json_file(T5Files::folder("t5") + "/config.json");
    change(object);
    try {
      t5_spec(Config(object, "config.json"));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(T5Errors, NameTheKey) {
  const auto contains = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  contains(message([](auto& o) { o["d_model"] = 0; }), "d_model: expected 1 to");
  contains(message([](auto& o) { o["num_layers"] = int64_t{1} << 40; }), "num_layers");
  contains(message([](auto& o) { o["relative_attention_num_buckets"] = 7; }),
           "relative_attention_num_buckets");
  contains(message([](auto& o) { o["relative_attention_max_distance"] = 1; }),
           "relative_attention_max_distance");
  contains(message([](auto& o) { o["feed_forward_proj"] = "gated-what"; }), "what");
  contains(message([](auto& o) { o["architectures"] = {"T5ForTokenClassification"}; }),
           "T5ForTokenClassification");
  contains(message([](auto& o) { o["decoder_start_token_id"] = 131; }), "decoder_start_token_id");
}

TEST_F(T5Errors, SayWhatIsMissing) {
  const T5Files c("t5"), alone("t5_encoder");
  const std::vector<int32_t> ids = {1, 2};
  EXPECT_THROW(c.files.model->encode({}), Error);
  EXPECT_THROW(c.files.model->encode(std::vector<int32_t>{1, 131}), Error);
  EXPECT_THROW(c.files.model->forward(ids, *c.files.model->new_state(), LogitsFor::last), Error)
      << "nothing was read";
  EXPECT_THROW(alone.files.model->forward(ids, *alone.files.model->encode(ids), LogitsFor::last),
               Error);
  EXPECT_THROW(c.files.model->forward(Tensor::from_ids({1, 2}, {1, 2})), Error);
}

}  // namespace
}  // namespace sumi::models

#include "evaluate/embedding.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "models/language/open.h"

namespace sumi::evaluate {
namespace {

const std::string kData = SUMI_TEST_DATA;

TEST(Embedding, PoolsTheHiddenStates) {
  const models::LanguageModelFiles files = models::open_language_model(kData + "/encoders/bert");
  const std::vector<int32_t> ids = {9, 40, 3, 77, 12};
  const Tensor hidden = files.model->hidden_states(Tensor::from_ids({9, 40, 3, 77, 12}, {1, 5}));
  const std::vector<float> mean = embed(*files.model, ids, Pooling::mean, false);
  const std::vector<float> first = embed(*files.model, ids, Pooling::cls, false);
  const std::vector<float> last = embed(*files.model, ids, Pooling::last, false);
  const std::vector<float> unit = embed(*files.model, ids, Pooling::mean, true);
  ASSERT_EQ(mean.size(), 32u);
  double squares = 0, length = 0;
  for (size_t i = 0; i < 32; ++i) {
    float sum = 0;
    for (size_t t = 0; t < 5; ++t) sum += hidden.f32()[t * 32 + i];
    EXPECT_NEAR(mean[i], sum / 5, 1e-5);
    EXPECT_EQ(first[i], hidden.f32()[i]);
    EXPECT_EQ(last[i], hidden.f32()[4 * 32 + i]);
    squares += mean[i] * mean[i];
    length += unit[i] * unit[i];
  }
  EXPECT_NEAR(length, 1, 1e-5);
  EXPECT_NEAR(unit[3] * std::sqrt(squares), mean[3], 1e-5);
}

TEST(Embedding, DecodersAndEncoderDecodersToo) {
  for (const char* name : {"/language/llama", "/t5/t5"}) {
    const models::LanguageModelFiles files = models::open_language_model(kData + name);
    EXPECT_EQ(embed(*files.model, std::vector<int32_t>{5, 6}, Pooling::last, true).size(), 32u)
        << name;
  }
}

TEST(Embedding, Errors) {
  const models::LanguageModelFiles files = models::open_language_model(kData + "/encoders/roberta");
  EXPECT_THROW(embed(*files.model, {}, Pooling::mean, true), Error);
  EXPECT_THROW(embed(*files.model, std::vector<int32_t>{131}, Pooling::mean, true), Error);
  EXPECT_THROW(embed(*files.model, std::vector<int32_t>(95, 7), Pooling::mean, true), Error)
      << "96 less 2";
  EXPECT_NO_THROW(embed(*files.model, std::vector<int32_t>(94, 7), Pooling::mean, true));
  EXPECT_THROW(pooling_from_name("max"), Error);
}

}  // namespace
}  // namespace sumi::evaluate

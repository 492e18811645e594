#include "evaluate/embedding.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "formats/json.h"
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

// Decoders and encoder-decoders, too (tools/reference/embeddings.py).
TEST(Embedding, EqualsTransformers) {
  models::OpenOptions f32;
  f32.compute = models::ComputeType::f32;
  int compared = 0;
  for (const nlohmann::json& row : formats::read_json_file(kData + "/encoders/embeddings.json")) {
    const std::string name = row["model"];
    const models::LanguageModelFiles files = models::open_language_model(kData + "/" + name, f32);
    const std::vector<int32_t> ids = row["ids"];
    for (const char* pooling : {"mean", "cls", "last"}) {
      SCOPED_TRACE(name + " " + pooling);
      const std::vector<double> expected = row[pooling];
      double squares = 0;
      for (const double value : expected) squares += value * value;
      for (const bool normalize : {false, true}) {
        const double scale = normalize ? 1 / std::sqrt(squares) : 1;
        const std::vector<float> found =
            embed(*files.model, ids, pooling_from_name(pooling), normalize);
        ASSERT_EQ(found.size(), expected.size());
        for (size_t i = 0; i < found.size(); ++i)
          EXPECT_NEAR(found[i], expected[i] * scale, 1e-4 * scale) << i;
      }
      ++compared;
    }
  }
  EXPECT_EQ(compared, 27);
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

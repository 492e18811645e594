#include "generate/beam_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "formats/json.h"
#include "models/language/open.h"

namespace sumi::generate {
namespace {

using Json = nlohmann::json;

const std::string kData = std::string(SUMI_TEST_DATA) + "/";

BeamOptions options_of(const Json& c) {
  BeamOptions options;
  options.beams = c["beams"];
  options.results = c["results"];
  options.max_tokens = c["max_tokens"];
  options.length_penalty = c["length_penalty"];
  options.end_ids = c["end_ids"].get<std::vector<int32_t>>();
  options.early_stopping = c["early_stopping"] == "yes"     ? EarlyStopping::yes
                           : c["early_stopping"] == "never" ? EarlyStopping::never
                                                            : EarlyStopping::no;
  return options;
}

TEST(BeamSearch, EqualsTransformers) {
  models::OpenOptions f32;
  f32.compute = models::ComputeType::f32;
  std::string name;
  models::LanguageModelFiles files;
  std::map<std::string, int> ended;  // texts of each model
  for (const Json& c : formats::read_json_file(kData + "language/beams.json")) {
    SCOPED_TRACE(c.dump());
    if (c["model"] != name) {
      name = c["model"];
      files = models::open_language_model(kData + name, f32);
    }
    const std::vector<BeamText> texts =
        beam_search(*files.model, c["prompt"].get<std::vector<int32_t>>(), options_of(c));
    ASSERT_EQ(texts.size(), c["texts"].size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const Json& want = c["texts"][i];
      EXPECT_EQ(texts[i].ids, want["ids"].get<std::vector<int32_t>>()) << "text " << i;
      const double score = want["score"];
      EXPECT_NEAR(texts[i].score, score, 1e-4 * std::max(1.0, std::fabs(score))) << "text " << i;
      ended[name] += texts[i].ended;
    }
  }
  EXPECT_EQ(ended.size(), 5u);  // decoders, a recurrent network, encoder-decoders
  for (const auto& [model, texts] : ended) EXPECT_GT(texts, 10) << model;
}

class BeamErrors : public testing::Test {
 protected:
  std::string message(const BeamOptions& options, std::vector<int32_t> prompt = {1, 2}) {
    static const models::LanguageModelFiles files = models::open_language_model(kData + "language/llama");
    try {
      beam_search(*files.model, prompt, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(BeamErrors, NameTheOption) {
  BeamOptions options;
  options.beams = 0;
  EXPECT_EQ(message(options), "beams: expected 1 to 1024, found 0");
  options.beams = 2;
  options.results = 3;
  EXPECT_EQ(message(options), "beam search results: expected 1 to 2, the number of beams, found 3");
  options.results = 1;
  options.max_tokens = 0;
  EXPECT_EQ(message(options), "max tokens: expected 1 or more, found 0");
  options.max_tokens = 100000;
  EXPECT_NE(message(options).find("leaves room for"), std::string::npos);
  options.max_tokens = 4;
  options.length_penalty = std::nan("");
  EXPECT_NE(message(options).find("length penalty"), std::string::npos);
  options.length_penalty = 1;
  EXPECT_NE(message(options, {}).find("no tokens"), std::string::npos);
  EXPECT_NE(message(options, {1, -1}).find("found -1"), std::string::npos);
}

TEST(BeamSearch, Cancels) {
  const models::LanguageModelFiles files = models::open_language_model(kData + "language/llama");
  const std::atomic<bool> cancel = true;
  BeamOptions options;
  options.cancel = &cancel;
  EXPECT_TRUE(beam_search(*files.model, std::vector<int32_t>{1, 2}, options).empty());
}

}  // namespace
}  // namespace sumi::generate

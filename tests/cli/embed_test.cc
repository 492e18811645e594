// sumi embed against transformers: a decoder's and an encoder-decoder's vectors
// (tools/reference/embeddings.py), and those of a real encoder of sentences, all-MiniLM-L6-v2
// (tools/reference/minilm.py): tokenizer, cutting to the folder's length, network, pooling. The
// environment variable SUMI_MINILM names the folder that `tools/fetch_minilm` fetches; without it
// its tests are skipped.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cli/command.h"

namespace sumi::cli {
namespace {

// What transformers gives a model of tests/data, and what it is without --pooling.
nlohmann::json expected_of(const std::string& model) {
  for (const nlohmann::json& row :
       nlohmann::json::parse(slurp(SUMI_TEST_DATA "/encoders/embeddings.json")))
    if (row["model"] == model) return row;
  return nullptr;
}

void expect_vectors(const std::string& path, const std::string& text, const nlohmann::json& expected,
                    const std::string& by_default) {
  for (const std::string pooling : {"", "mean", "cls", "last"}) {
    const std::string arguments = "embed " + path + " '" + text + "' --dtype f32" +
                                  (pooling.empty() ? "" : " --pooling " + pooling);
    SCOPED_TRACE(arguments);
    const std::vector<double> vector = expected[pooling.empty() ? by_default : pooling];
    double squares = 0;
    for (const double value : vector) squares += value * value;
    for (const bool normalize : {true, false}) {
      const std::string whole = arguments + (normalize ? "" : " --no-normalize");
      const Outcome outcome = run(whole + " --json");
      ASSERT_EQ(outcome.code, 0) << outcome.err;
      EXPECT_EQ(outcome.json()["tokens"], expected["ids"].size());
      const std::vector<double> found = outcome.json()["embedding"];
      const double scale = normalize ? 1 / std::sqrt(squares) : 1;
      ASSERT_EQ(found.size(), vector.size());
      for (size_t i = 0; i < found.size(); ++i)
        EXPECT_NEAR(found[i], vector[i] * scale, 1e-4 * scale) << i;
      std::istringstream plain(run(whole).out);  // the same numbers on a line
      for (const double value : found) {
        double shown = 0;
        plain >> shown;
        EXPECT_NEAR(shown, value, 1e-5 * std::max(1.0, std::fabs(value)));
      }
    }
  }
}

TEST(CliEmbed, ADecodersLastPositionUnlessToldOtherwise) {
  const ModelFolder model;
  expect_vectors(model.path(), "Hello", expected_of("language/llama"), "last");
}

TEST(CliEmbed, TheMeanOfWhatAnEncoderDecoderRead) {
  const nlohmann::json expected = expected_of("t5/t5_128");
  expect_vectors(std::string(SUMI_TEST_DATA) + "/t5/t5_128", expected["text"], expected, "mean");
}

TEST(CliEmbed, OtherPoolingsAreWrongUsage) {
  const ModelFolder model;
  const Outcome outcome = run("embed " + model.path() + " Hello --pooling max");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("--pooling"), std::string::npos) << outcome.err;
}

class CliEmbedMiniLm : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("SUMI_MINILM");
    if (!folder || !*folder) GTEST_SKIP() << "SUMI_MINILM is not set (see tools/fetch_minilm)";
    folder_ = folder;
    expected_ = nlohmann::json::parse(slurp(SUMI_TEST_DATA "/encoders/minilm.json"));
    std::string lines;
    for (const nlohmann::json& row : expected_) lines += row["text"].get<std::string>() + "\n";
    spill(work_ / "lines", lines);
  }

  std::vector<nlohmann::json> embed(const std::string& options) {
    const Outcome outcome =
        run("embed " + folder_ + " --file " + (work_ / "lines") + " --json" + options);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::vector<nlohmann::json> rows;
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line);)
      rows.push_back(nlohmann::json::parse(line));
    return rows;
  }

  std::string folder_;
  nlohmann::json expected_;
  Folder work_;
};

TEST_F(CliEmbedMiniLm, VectorsAreTransformers) {
  const std::vector<nlohmann::json> rows = embed(" --truncate");
  ASSERT_EQ(rows.size(), expected_.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i]["tokens"], expected_[i]["tokens"]) << i;
    const auto found = rows[i]["embedding"].get<std::vector<double>>();
    const auto expected = expected_[i]["embedding"].get<std::vector<double>>();
    ASSERT_EQ(found.size(), expected.size());
    for (size_t d = 0; d < found.size(); ++d) EXPECT_NEAR(found[d], expected[d], 1e-5) << i;
  }
}

TEST_F(CliEmbedMiniLm, Bf16PointsTheSameWay) {
  const std::vector<nlohmann::json> rows = embed(" --truncate --dtype bf16");
  ASSERT_EQ(rows.size(), expected_.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    double cosine = 0;
    for (size_t d = 0; d < rows[i]["embedding"].size(); ++d)
      cosine += rows[i]["embedding"][d].get<double>() * expected_[i]["embedding"][d].get<double>();
    EXPECT_GT(cosine, 0.999) << i;
  }
}

TEST_F(CliEmbedMiniLm, LongTextsAreErrorsUnlessCut) {
  const Outcome outcome = run("embed " + folder_ + " --file " + (work_ / "lines"));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("reads at most 256"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace sumi::cli

// sumi embed with a real encoder of sentences, all-MiniLM-L6-v2, against transformers
// (tools/reference/minilm.py): tokenizer, cutting to the folder's length, network, pooling. The
// environment variable SUMI_MINILM names the folder that `tools/fetch_minilm` fetches; without it
// the tests are skipped.
#include <gtest/gtest.h>

#include <cmath>

#include "cli/command.h"

namespace sumi::cli {
namespace {

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

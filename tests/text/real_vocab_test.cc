// Real vocabularies with expected ids: the ggml-vocab-*.gguf files of llama.cpp, which
// `tools/fetch_vocabs DIR` downloads. The environment variable SUMI_VOCAB_DIR names their folder;
// without it the tests are skipped.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "formats/gguf.h"
#include "text/fill_in_the_middle.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace sumi::text {
namespace {

namespace fs = std::filesystem;

std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> split_at(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = text.find(separator, begin)) != std::string::npos;
       begin = end + separator.size()) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

class RealVocab : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("SUMI_VOCAB_DIR");
    if (!folder || !*folder) GTEST_SKIP() << "SUMI_VOCAB_DIR is not set (see tools/fetch_vocabs)";
    path_ = fs::path(folder) / (std::string("ggml-vocab-") + GetParam() + ".gguf");
    ASSERT_TRUE(fs::exists(path_)) << path_;
  }
  fs::path path_;
};

TEST_P(RealVocab, MatchesExpectedIds) {
  const formats::GgufFile file(path_.string());
  const auto tokenizer = tokenizer_from_gguf(file);
  const auto texts = split_at(read_all(path_.string() + ".inp"), "\n__ggml_vocab_test__\n");
  const auto lines = split_at(read_all(path_.string() + ".out"), "\n");
  ASSERT_GT(texts.size(), 30u);
  ASSERT_GE(lines.size(), texts.size());
  const bool spm = file.get_string("tokenizer.ggml.model") != "gpt2";
  for (size_t i = 0; i < texts.size(); ++i) {
    std::vector<int32_t> expected;
    std::istringstream numbers(lines[i]);
    for (int32_t id; numbers >> id;) expected.push_back(id);
    const auto ids = tokenizer->encode(texts[i], {.add_special = false, .parse_special = false});
    EXPECT_EQ(ids, expected) << GetParam() << ": \"" << texts[i] << "\"";
    // A leading space that SentencePiece's prefix stands for is the one thing decoding may change.
    if (!spm) {
      EXPECT_EQ(tokenizer->decode(ids), texts[i]) << GetParam();
    }
    StreamDecoder stream(*tokenizer);
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.push(id);
    streamed += stream.finish();
    EXPECT_EQ(streamed, tokenizer->decode(ids)) << GetParam();
  }
}

INSTANTIATE_TEST_SUITE_P(Llamacpp, RealVocab,
                         testing::Values("command-r", "deepseek-coder", "deepseek-llm", "falcon",
                                         "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "mpt",
                                         "phi-3", "qwen2", "qwen35", "refact", "starcoder"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

struct FillCase {
  const char *vocabulary, *style;
  std::vector<int32_t> prompt;   // texts by llama.cpp's tokenizer
  std::vector<int32_t> spelled;  // of "<fim_suffix>" or, for DeepSeek, "<｜fim▁hole｜>" in a file
  std::vector<int32_t> stops;    // some of the tokens that end what is filled in
};

// The vocabularies of code models have the tokens that their models learned to fill gaps with.
TEST(RealVocabKinds, FillInTheMiddleTokensAreFound) {
  const char* folder = std::getenv("SUMI_VOCAB_DIR");
  if (!folder || !*folder) GTEST_SKIP() << "SUMI_VOCAB_DIR is not set (see tools/fetch_vocabs)";
  const auto open = [&](const std::string& name) {
    return tokenizer_from_gguf(
        formats::GgufFile((fs::path(folder) / ("ggml-vocab-" + name + ".gguf")).string()));
  };
  FillRequest request;
  request.prefix = "def f(x):\n    return ";
  request.suffix = "\n\nprint(f(2))\n";
  const FillCase cases[] = {
      {"starcoder",  // llama.cpp's file of this name is StarCoder2's
       "StarCoder2",
       {1, 610, 315, 45, 125, 731, 303, 461, 244, 3, 222, 222, 1243, 45, 107, 45, 55, 509, 222, 2},
       {65, 107, 468, 100, 12440, 67},
       {0, 1, 2, 3, 4, 5, 6}},
      {"refact",
       "StarCoder",
       {1, 589, 296, 26, 106, 711, 284, 442, 225, 3, 203, 203, 1216, 26, 88, 26, 36, 490, 203, 2},
       {46, 88, 449, 81, 12420, 48},
       {0, 1, 2, 3, 4, 5}},
      {"deepseek-coder",
       "DeepSeek-Coder",
       {32013, 32016, 1551, 267, 7, 87, 1772, 185, 315, 967, 207, 32015, 185, 185, 4128, 7, 69, 7,
        17, 1435, 185, 32017},
       {27, 169, 121, 237, 69, 308, 11028, 210, 19496, 169, 121, 237, 29},
       {32015, 32016, 32017, 32021}},
  };
  for (const FillCase& test : cases) {
    SCOPED_TRACE(test.vocabulary);
    const auto tokenizer = open(test.vocabulary);
    const FillInTheMiddle fill(*tokenizer, test.vocabulary);
    EXPECT_STREQ(fill.style(), test.style);
    EXPECT_EQ(fill.prompt(request, 100).ids, test.prompt);
    for (const int32_t id : test.stops)
      EXPECT_NE(std::find(fill.stop_ids().begin(), fill.stop_ids().end(), id), fill.stop_ids().end())
          << id;
    FillRequest spelling;
    spelling.prefix = std::string(test.style) == "DeepSeek-Coder" ? "<｜fim▁hole｜>" : "<fim_suffix>";
    const std::vector<int32_t> ids = fill.prompt(spelling, 100).ids;
    EXPECT_NE(std::search(ids.begin(), ids.end(), test.spelled.begin(), test.spelled.end()),
              ids.end());
  }
  for (const char* name : {"command-r", "deepseek-llm", "gpt-2", "llama-bpe", "phi-3", "qwen2"}) {
    const auto tokenizer = open(name);
    EXPECT_THROW(FillInTheMiddle(*tokenizer, name), Error) << name;
  }
}

TEST(RealVocabKinds, WordPieceIsRefusedByName) {
  const char* folder = std::getenv("SUMI_VOCAB_DIR");
  if (!folder || !*folder) GTEST_SKIP() << "SUMI_VOCAB_DIR is not set (see tools/fetch_vocabs)";
  const formats::GgufFile file((fs::path(folder) / "ggml-vocab-bert-bge.gguf").string());
  try {
    tokenizer_from_gguf(file);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("unknown tokenizer bert"), std::string::npos);
  }
}

}  // namespace
}  // namespace sumi::text

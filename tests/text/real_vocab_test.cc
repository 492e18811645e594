// Real vocabularies with expected ids: the ggml-vocab-*.gguf files of llama.cpp, which
// `tools/fetch_vocabs DIR` downloads. The environment variable SUMI_VOCAB_DIR names their folder;
// without it the tests are skipped.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "formats/gguf.h"
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

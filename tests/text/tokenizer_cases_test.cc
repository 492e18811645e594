// Ids and decoded texts of small tokenizers against the package `tokenizers`; see
// tools/reference/tokenizer_cases.py for the kinds and the texts.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "text/stream_decoder.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kData = fs::path(SUMI_TEST_DATA) / "tokenizers";

std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> read_texts() {
  std::vector<std::string> texts;
  const Json list = Json::parse(read_all(kData / "texts.json"));
  for (const std::string hex : list) {
    std::string text;
    for (size_t i = 0; i < hex.size(); i += 2) {
      text.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    texts.push_back(text);
  }
  return texts;
}

std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                     bool skip_special) {
  StreamDecoder stream(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id);
    EXPECT_TRUE(is_valid_utf8(part));
    text += part;
  }
  return text + stream.finish();
}

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kData)) {
    const std::string file = entry.path().filename().string();
    const size_t end = file.find(".expected.json");
    if (end != std::string::npos) names.push_back(file.substr(0, end));
  }
  std::sort(names.begin(), names.end());
  return names;
}

class TokenizerCases : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ =
      tokenizer_from_json(read_all(kData / (GetParam() + ".json")), GetParam());
  Json expected_ = Json::parse(read_all(kData / (GetParam() + ".expected.json")));
};

TEST_P(TokenizerCases, Encodes) {
  const auto texts = read_texts();
  ASSERT_EQ(texts.size(), expected_["plain"].size());
  ASSERT_GT(texts.size(), 200u);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto plain = expected_["plain"][i].get<std::vector<int32_t>>();
    const auto with_special =
        expected_["ids"][i].is_null() ? plain : expected_["ids"][i].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer_->encode(texts[i], {.add_special = false}), plain)
        << "text " << i << ": \"" << texts[i] << "\"";
    EXPECT_EQ(tokenizer_->encode(texts[i]), with_special) << "text " << i;
  }
}

TEST_P(TokenizerCases, Decodes) {
  const auto texts = read_texts();
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = expected_["plain"][i].get<std::vector<int32_t>>();
    const std::string text = expected_["decoded"][i].is_null()
                                 ? repair_utf8(texts[i])
                                 : expected_["decoded"][i].get<std::string>();
    EXPECT_EQ(repair_utf8(tokenizer_->decode(ids)), text) << "text " << i;
    EXPECT_EQ(streamed(*tokenizer_, ids, true), text) << "text " << i;
  }
  for (const Json& pair : expected_["random"]) {
    const auto ids = pair[0].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer_->decode(ids, false), pair[1].get<std::string>()) << pair[0];
    EXPECT_EQ(streamed(*tokenizer_, ids, false), pair[1].get<std::string>()) << pair[0];
  }
}

TEST_P(TokenizerCases, FindsItsTokens) {
  for (int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
    EXPECT_EQ(tokenizer_->find_token(tokenizer_->token_text(id)), id);
  }
}

INSTANTIATE_TEST_SUITE_P(Trained, TokenizerCases, testing::ValuesIn(names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace sumi::text

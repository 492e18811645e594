// What the tests of tokenizers share: the texts and expected values that tools/reference/ wrote.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace sumi::text {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kTokenizerData = fs::path(SUMI_TEST_DATA) / "tokenizers";

inline std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::vector<std::string> read_texts() {
  std::vector<std::string> texts;
  const Json list = Json::parse(read_all(kTokenizerData / "texts.json"));
  for (const std::string hex : list) {
    std::string text;
    for (size_t i = 0; i < hex.size(); i += 2) {
      text.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    texts.push_back(text);
  }
  return texts;
}

inline std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
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

// `expected` as tools/reference/tokenizer_cases.py describes it.
inline void check_cases(const Tokenizer& tokenizer, const Json& expected) {
  const auto texts = read_texts();
  ASSERT_EQ(texts.size(), expected["plain"].size());
  ASSERT_GT(texts.size(), 200u);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto plain = expected["plain"][i].get<std::vector<int32_t>>();
    const auto with_special =
        expected["ids"][i].is_null() ? plain : expected["ids"][i].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer.encode(texts[i], {.add_special = false}), plain)
        << "text " << i << ": \"" << texts[i] << "\"";
    EXPECT_EQ(tokenizer.encode(texts[i]), with_special) << "text " << i;
    if (expected["decoded"][i].is_boolean()) continue;  // not compared
    const std::string text = expected["decoded"][i].is_null()
                                 ? repair_utf8(texts[i])
                                 : expected["decoded"][i].get<std::string>();
    EXPECT_EQ(repair_utf8(tokenizer.decode(plain)), text) << "text " << i;
    EXPECT_EQ(streamed(tokenizer, plain, true), text) << "text " << i;
  }
  for (const Json& pair : expected["random"]) {
    const auto ids = pair[0].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer.decode(ids, false), pair[1].get<std::string>()) << pair[0];
    EXPECT_EQ(streamed(tokenizer, ids, false), pair[1].get<std::string>()) << pair[0];
  }
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    std::string token;
    try {
      token = tokenizer.token_text(id);
    } catch (const Error&) {
      continue;  // ids may have gaps
    }
    EXPECT_EQ(tokenizer.find_token(token), id);
  }
}

}  // namespace sumi::text

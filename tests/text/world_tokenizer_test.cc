// RWKV World's tokenizer against the PyPI package `rwkv` (tools/reference/world_tokenizer.py).
#include "text/world_tokenizer.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "formats/json.h"
#include "text/stream_decoder.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

const std::string kFolder = std::string(SUMI_TEST_DATA) + "/tokenizers/";

std::string vocabulary() { return formats::read_text_file(kFolder + "world/vocabulary.txt"); }

std::string bytes_of(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// `expected` is in the folder world/.
void expect_the_authors_ids(const Tokenizer& tokenizer, const std::string& expected_file) {
  const nlohmann::json texts = formats::read_json_file(kFolder + "texts.json");
  const nlohmann::json expected = formats::read_json_file(kFolder + "world/" + expected_file);
  ASSERT_EQ(texts.size(), expected.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = bytes_of(texts[i]);
    const std::vector<int32_t> ids = tokenizer.encode(text);
    EXPECT_EQ(ids, expected[i].get<std::vector<int32_t>>()) << "text " << i;
    EXPECT_EQ(tokenizer.decode(ids), repair_utf8(text)) << "text " << i;
    StreamDecoder stream(tokenizer, true);
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.push(id);
    EXPECT_EQ(streamed + stream.finish(), repair_utf8(text)) << "text " << i;
  }
}

TEST(WorldTokenizer, EqualsTheAuthors) {
  expect_the_authors_ids(*open_tokenizer_file(kFolder + "world/vocabulary.txt"), "expected.json");
}

// With all 65,529 tokens, which `tools/fetch_vocabs` fetches into the folder SUMI_VOCAB_DIR.
TEST(WorldTokenizer, EqualsTheAuthorsWithTheRealVocabulary) {
  const char* folder = std::getenv("SUMI_VOCAB_DIR");
  const std::string path = std::string(folder ? folder : "") + "/rwkv_vocab_v20230424.txt";
  if (!folder || !*folder) GTEST_SKIP() << "SUMI_VOCAB_DIR is not set (see tools/fetch_vocabs)";
  if (!formats::file_exists(path)) GTEST_SKIP() << path << " is missing (see tools/fetch_vocabs)";
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer_file(path);
  EXPECT_EQ(tokenizer->vocab_size(), 65530);  // with id 0, which ends a text
  expect_the_authors_ids(*tokenizer, "expected_real.json");
  int64_t whole = 0;
  for (int32_t id = 1; id < 65530; ++id) {  // no longer token begins with a whole one's text
    const std::string text = tokenizer->token_text(id);
    EXPECT_EQ(tokenizer->find_token(text), std::optional<int32_t>(id));
    if (repair_utf8(text) != text) continue;  // a part of a character
    EXPECT_EQ(tokenizer->encode(text), std::vector<int32_t>{id});
    ++whole;
  }
  EXPECT_GT(whole, 64000);
}

TEST(WorldTokenizer, EndsATextWithZero) {
  const WorldTokenizer tokenizer(vocabulary(), "vocabulary");
  EXPECT_EQ(tokenizer.end_ids, std::vector<int32_t>{0});
  EXPECT_TRUE(tokenizer.is_special(0));
  const std::vector<int32_t> ids = {73, 0, 106};  // "H", the end, "i"
  EXPECT_EQ(tokenizer.decode(ids, true), "Hi");
  EXPECT_EQ(tokenizer.decode(ids, false), "H<|endoftext|>i");
  EXPECT_EQ(tokenizer.find_token("Hello"), std::optional<int32_t>(268));
  EXPECT_EQ(tokenizer.find_token("Hello!"), std::nullopt);
  EXPECT_THROW(tokenizer.token_text(100000), Error);
}

TEST(WorldTokenizer, BadVocabulariesAreNamed) {
  const auto error = [](const std::string& more) {
    try {
      WorldTokenizer(vocabulary() + more, "v.txt");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(error("\n\r\n"), "no error");
  EXPECT_EQ(error("900 'a\\tb' 3\n"), "no error");
  EXPECT_NE(error("900 'ab' 3\n").find("v.txt: line 296: 2 bytes, expected 3"), std::string::npos)
      << error("900 'ab' 3\n");
  EXPECT_NE(error("900 'ab\n").find("expected an id, a string and its length"), std::string::npos);
  EXPECT_NE(error("900 'ab 2\n").find("in quotes"), std::string::npos);
  EXPECT_NE(error("900 'a\\q' 2\n").find("unknown escape \\q"), std::string::npos);
  EXPECT_NE(error("900 '\\x4' 1\n").find("cut short"), std::string::npos);
  EXPECT_NE(error("900 '\\ud800' 3\n").find("no character"), std::string::npos);
  EXPECT_NE(error("0 'ab' 2\n").find("expected an id of 1"), std::string::npos);
  EXPECT_NE(error("99999999999 'ab' 2\n").find("expected an id of 1"), std::string::npos);
  EXPECT_NE(error("7 'ab' 2\n").find("occurs twice"), std::string::npos);
  try {
    WorldTokenizer("1 'a' 1\n", "v.txt");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "v.txt: no token spells the byte 0x00");
  }
}

}  // namespace
}  // namespace sumi::text

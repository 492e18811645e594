// Folders without tokenizer.json: ids and decoded texts against the libraries that own the formats;
// see tools/reference/tokenizer_folders.py. Then broken folders and their messages.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>

#include "base/error.h"
#include "text/cases.h"
#include "text/charsmap.h"
#include "text/sentencepiece.h"
#include "text/tiktoken.h"
#include "text/tokenizer.h"

namespace sumi::text {
namespace {

const fs::path kFolders = kTokenizerData / "folders";

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolders)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class TokenizerFolders : public testing::TestWithParam<std::string> {};

TEST_P(TokenizerFolders, EncodesAndDecodes) {
  const fs::path folder = kFolders / GetParam();
  const auto tokenizer = open_tokenizer(folder.string());
  check_cases(*tokenizer, Json::parse(read_all(folder / "expected.json")));
}

INSTANTIATE_TEST_SUITE_P(Trained, TokenizerFolders, testing::ValuesIn(names()),
                         [](const auto& info) { return info.param; });

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TokenizerFolders, OpensTheWorldVocabulary) {
  const fs::path folder = fs::path(testing::TempDir()) / "world_folder";
  fs::create_directories(folder);
  fs::copy_file(kTokenizerData / "world" / "vocabulary.txt", folder / "rwkv_vocab_v20230424.txt",
                fs::copy_options::overwrite_existing);
  EXPECT_TRUE(has_tokenizer(folder.string()));
  const auto tokenizer = open_tokenizer(folder.string());
  EXPECT_EQ(tokenizer->eos_id, 0);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\n\xe5\xa2\xa8")), "a\n\xe5\xa2\xa8");
}

// Fields of a protocol buffer.
std::string field(int number, const std::string& data) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(data.size())} + data;
}
std::string field(int number, int value) {
  return {static_cast<char>(number << 3), static_cast<char>(value)};
}
std::string piece(const std::string& text, int type = 1) {
  return field(1, field(1, text) + field(3, type));
}

TEST(SentencePieceFile, NamesWhatIsBroken) {
  const auto message = [](const std::string& bytes) {
    return message_of([&] {
      const auto model = read_sentencepiece(bytes, "m");
      make_sentencepiece_cleaner(model, true, "m");
      make_sentencepiece_model(model, "m");
    });
  };
  EXPECT_EQ(message(piece("<unk>", 2) + piece("a")), "no error");
  EXPECT_EQ(message(""), "m: no piece");
  EXPECT_EQ(message(piece("a").substr(0, 4)), "m: byte 2: a field of 5 bytes, 2 are left");
  EXPECT_EQ(message(std::string(11, '\xff')), "m: byte 10: a number has more than ten bytes");
  EXPECT_EQ(message("\x0b"), "m: byte 1: field 1 has wire type 3");
  EXPECT_EQ(message(field(1, 5)), "m: byte 2: field 1 has wire type 0, expected 2");
  EXPECT_EQ(message(piece("")), "m piece 0: its text is empty");
  EXPECT_EQ(message(piece("\xff")), "m piece 0: its text is not UTF-8");
  EXPECT_EQ(message(piece("a", 7)), "m piece 0: unknown type 7");
  EXPECT_EQ(message(field(1, field(1, std::string("a")) + std::string("\x15\0\0\xc0\x7f", 5))),
            "m piece 0: its score is not a number");
  EXPECT_NE(message(piece("a") + piece("a")).find("m: piece 1 \"a\" occurs twice"),
            std::string::npos);
  EXPECT_EQ(message(piece("a") + field(2, field(3, 9))), "m: unknown model_type 9");
  EXPECT_EQ(message(piece("a") + field(2, field(3, 3))),
            "m: models of words or of characters are not supported");
  EXPECT_EQ(message(piece("a", 5) + field(2, field(3, 2))),
            "m: piece 0 \"a\": unused pieces of BPE are not supported");
  EXPECT_EQ(message(piece("a") + field(3, field(2, std::string("\x09\0\0\0abc", 7)))),
            "m: precompiled_charsmap: a trie of 9 bytes in a table of 7");
  EXPECT_EQ(message(piece("a") + field(5, field(2, std::string("x")))),
            "m: a denormalizer is not supported");
}

TEST(SentencePieceFile, ChecksEveryStepOfACharsmap) {
  // A root whose children lie outside, a unit that leads to itself, and a value past the
  // replacements.
  for (const std::string& unit : {std::string("\xff\xff\xff\x7f", 4),
                                  std::string("\x61\x01\0\0", 4), std::string("\x61\x05\0\0", 4)}) {
    std::string blob("\0\x01\0\0", 4);
    for (int i = 0; i < 64; ++i) blob += unit;
    const Charsmap map(blob + "x", "m");
    for (char c = 1; c < 127; ++c) {
      const std::string text(3, c);
      const auto match = map.longest(text);
      EXPECT_TRUE(!match || match->replacement.size() <= 1);
    }
  }
}

TEST(TiktokenFile, NamesTheBrokenLine) {
  const auto message = [](const char* text) {
    return message_of([&] { read_tiktoken(text, "t"); });
  };
  EXPECT_EQ(message("YQ== 0\nYg=="), "t line 2: expected a token in base64 and its rank");
  EXPECT_EQ(message("YQ== -1"), "t line 1: expected a token in base64 and its rank");
  EXPECT_EQ(message("Y* 0"), "t line 1: not base64");
  EXPECT_NE(message("YQ== 0\nYQ== 1").find("t line 2: the token is empty, it or rank 1"),
            std::string::npos);
  EXPECT_EQ(message("YQ== 0"), "t: no token for the byte 0x00");
}

// One word without spaces, of a million bytes: what a quadratic algorithm takes minutes for.
TEST(TokenizerFolders, LongWordsTakeLinearTime) {
  std::string text;
  for (int i = 0; i < 250000; ++i) text += i % 7 == 0 ? "the" : "aaba";
  text.resize(1000000);
  for (const std::string& name : names()) {
    const auto tokenizer = open_tokenizer((kFolders / name).string());
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(tokenizer->encode(text).empty());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    EXPECT_LT(seconds.count(), 30) << name;  // a tenth of a second, but for sanitizers
  }
}

}  // namespace
}  // namespace sumi::text

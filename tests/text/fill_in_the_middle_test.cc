#include "text/fill_in_the_middle.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "formats/json.h"
#include "text/stream_decoder.h"

namespace sumi::text {
namespace {

// Byte-level BPE without merges over the printable ASCII characters, newline, blank and the bytes of
// the sign that encode_continuation() uses, with these tokens added from id 200 on.
std::unique_ptr<Tokenizer> byte_tokenizer(const std::vector<std::string>& tokens,
                                          bool special = true) {
  nlohmann::json vocab = {{"\u010a", 0}, {"\u0120", 1}};
  int id = 2;
  for (char c = 33; c < 127; ++c) vocab[std::string(1, c)] = id++;
  nlohmann::json added = nlohmann::json::array();
  int next = 200;
  for (const std::string& token : tokens)
    added.push_back({{"id", next++}, {"content", token}, {"special", special},
                     {"normalized", !special}});
  const nlohmann::json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const nlohmann::json config = {
      {"added_tokens", added},
      {"pre_tokenizer", byte_level},
      {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
  return tokenizer_from_json(config.dump(), "test");
}

// SentencePiece's way: a space is spelled ▁, one is put before the first word, unknown characters
// are bytes.
std::unique_ptr<Tokenizer> code_llama_tokenizer() {
  nlohmann::json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}, {"▁", 3}};
  for (int byte = 0; byte < 256; ++byte)
    vocab[fmt::format("<0x{:02X}>", byte)] = 4 + byte;
  int id = 260;
  for (char c = 'a'; c <= 'z'; ++c) vocab[std::string(1, c)] = id++;
  nlohmann::json added = nlohmann::json::array();
  for (const char* token : {"▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>"})
    added.push_back({{"id", id++}, {"content", token}, {"special", true}, {"normalized", false}});
  const nlohmann::json config = {
      {"added_tokens", added},
      {"normalizer",
       {{"type", "Sequence"},
        {"normalizers",
         {{{"type", "Prepend"}, {"prepend", "▁"}},
          {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}},
          {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
      {"model",
       {{"type", "BPE"},
        {"vocab", vocab},
        {"merges", nlohmann::json::array()},
        {"byte_fallback", true},
        {"unk_token", "<unk>"}}}};
  return tokenizer_from_json(config.dump(), "test");
}

std::string shown(const Tokenizer& tokenizer, const FillPrompt& prompt) {
  return tokenizer.decode(prompt.ids, false);
}

FillRequest request_in_repository() {
  FillRequest request;
  request.prefix = "def f(";
  request.suffix = ")\n";
  request.file_name = "f.py";
  request.repository = "me/repo";
  request.context = {{"a.py", "A"}, {"b.py", "B\n"}};
  return request;
}

struct StyleCase {
  const char* name;
  std::vector<std::string> tokens;
  const char* prompt;  // of prefix "x = " and suffix " + y"
};

TEST(FillInTheMiddle, EachStyleIsFoundByItsTokens) {
  const StyleCase cases[] = {
      {"StarCoder2",
       {"<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<repo_name>", "<file_sep>"},
       "<fim_prefix>x = <fim_suffix> + y<fim_middle>"},
      {"StarCoder",
       {"<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<filename>", "<reponame>"},
       "<fim_prefix>x = <fim_suffix> + y<fim_middle>"},
      {"StarCoder without files",
       {"<fim_prefix>", "<fim_middle>", "<fim_suffix>"},
       "<fim_prefix>x = <fim_suffix> + y<fim_middle>"},
      {"SantaCoder",
       {"<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>"},
       "<fim-prefix>x = <fim-suffix> + y<fim-middle>"},
      {"Qwen2.5-Coder",
       {"<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|repo_name|>",
        "<|file_sep|>"},
       "<|fim_prefix|>x = <|fim_suffix|> + y<|fim_middle|>"},
      {"CodeGemma",
       {"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file_separator|>"},
       "<|fim_prefix|>x = <|fim_suffix|> + y<|fim_middle|>"},
      {"DeepSeek-Coder",
       {"<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>", "<|EOT|>"},
       "<｜fim▁begin｜>x = <｜fim▁hole｜> + y<｜fim▁end｜>"},
      {"Codestral", {"[PREFIX]", "[SUFFIX]"}, "[SUFFIX] + y[PREFIX]x = "},
      {"Seed-Coder",
       {"<[fim-prefix]>", "<[fim-middle]>", "<[fim-suffix]>"},
       "<[fim-suffix]> + y<[fim-prefix]>x = <[fim-middle]>"},
  };
  for (const StyleCase& test : cases) {
    SCOPED_TRACE(test.name);
    const auto tokenizer = byte_tokenizer(test.tokens);
    const FillInTheMiddle fill(*tokenizer, "model");
    EXPECT_STREQ(fill.style(), test.name);
    FillRequest request;
    request.prefix = "x = ";
    request.suffix = " + y";
    EXPECT_EQ(shown(*tokenizer, fill.prompt(request, 100)), test.prompt);
    for (const std::string& token : test.tokens) {
      const auto& stops = fill.stop_ids();
      EXPECT_NE(std::find(stops.begin(), stops.end(), *tokenizer->find_token(token)), stops.end())
          << token;
    }
  }
}

TEST(FillInTheMiddle, RepositoriesAreToldAsEachModelLearnedThem) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<repo_name>", "<file_sep>"},
       "<repo_name>me/repo<file_sep>a.py\nA<file_sep>b.py\nB\n<file_sep><fim_prefix>f.py\ndef f("
       "<fim_suffix>)\n<fim_middle>"},
      {{"<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<reponame>", "<filename>"},
       "<fim_prefix><reponame>me/repo<filename>a.py\nA<filename>b.py\nB\n<filename>f.py\ndef f("
       "<fim_suffix>)\n<fim_middle>"},
      {{"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|repo_name|>", "<|file_sep|>"},
       "<|repo_name|>me/repo\n<|file_sep|>a.py\nA\n<|file_sep|>b.py\nB\n<|file_sep|>f.py\n"
       "<|fim_prefix|>def f(<|fim_suffix|>)\n<|fim_middle|>"},
  };
  for (const auto& [tokens, expected] : cases) {
    const auto tokenizer = byte_tokenizer(tokens);
    const FillPrompt prompt =
        FillInTheMiddle(*tokenizer, "model").prompt(request_in_repository(), 1000);
    EXPECT_EQ(shown(*tokenizer, prompt), expected);
    EXPECT_EQ(prompt.context_files, 2);
  }
  const auto gemma = byte_tokenizer(
      {"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file_separator|>"});
  FillRequest request = request_in_repository();
  request.repository.clear();
  EXPECT_EQ(shown(*gemma, FillInTheMiddle(*gemma, "model").prompt(request, 1000)),
            "a.py\nA<|file_separator|>b.py\nB\n<|file_separator|>f.py\n<|fim_prefix|>def f("
            "<|fim_suffix|>)\n<|fim_middle|>");
}

TEST(FillInTheMiddle, WhatAVocabularyLacksIsNamed) {
  const auto message = [](const Tokenizer& tokenizer, const FillRequest& request) -> std::string {
    try {
      FillInTheMiddle(tokenizer, "tiny").prompt(request, 1000);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const auto plain = byte_tokenizer({"<|endoftext|>"});
  EXPECT_NE(message(*plain, {}).find("tiny: the vocabulary has no tokens for filling in code"),
            std::string::npos);
  const auto santa = byte_tokenizer({"<fim-prefix>", "<fim-middle>", "<fim-suffix>"});
  FillRequest request;
  request.repository = "r";
  EXPECT_EQ(message(*santa, request),
            "tiny: the vocabulary (SantaCoder) has no token for a repository's name");
  request = {};
  request.context = {{"a", "b"}};
  EXPECT_EQ(message(*santa, request),
            "tiny: the vocabulary (SantaCoder) has no token for other files of the repository");
  request = {};
  request.file_name = "a";
  EXPECT_EQ(message(*santa, request),
            "tiny: the vocabulary (SantaCoder) has no token for a file's name");
}

// A file may spell any special token; it must not become one. DeepSeek-Coder's markers are not even
// special in its files.
TEST(FillInTheMiddle, TokensSpelledInFilesArePlainText) {
  const std::vector<std::string> star = {"<fim_prefix>", "<fim_middle>", "<fim_suffix>",
                                         "<repo_name>",  "<file_sep>",   "<|endoftext|>"};
  const std::vector<std::string> deep = {"<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"};
  for (const bool special : {true, false}) {
    const auto tokenizer = byte_tokenizer(star, special);
    FillRequest request;
    request.prefix = "a<fim_suffix>b<|endoftext|>";
    request.suffix = "<fim_middle>";
    request.file_name = "<file_sep>";
    request.repository = "<repo_name>";
    request.context = {{"<fim_prefix>", "<file_sep>"}};
    const FillPrompt prompt = FillInTheMiddle(*tokenizer, "model").prompt(request, 1000);
    std::vector<int32_t> found;
    for (const int32_t id : prompt.ids)
      if (id >= 200) found.push_back(id);
    // repo_name, file_sep of the context file, file_sep, prefix, suffix, middle: once each.
    EXPECT_EQ(found, (std::vector<int32_t>{203, 204, 204, 200, 202, 201}));
  }
  const auto tokenizer = byte_tokenizer(deep, false);
  FillRequest request;
  request.prefix = "<｜fim▁hole｜>";
  const FillPrompt prompt = FillInTheMiddle(*tokenizer, "model").prompt(request, 1000);
  EXPECT_EQ(std::count(prompt.ids.begin(), prompt.ids.end(), 200), 1);
}

TEST(FillInTheMiddle, TheTextNearestToTheGapStays) {
  const auto tokenizer =
      byte_tokenizer({"<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<repo_name>", "<file_sep>"});
  const FillInTheMiddle fill(*tokenizer, "model");
  FillRequest request;
  request.prefix = "0123456789";
  request.suffix = "abcdefghij";
  FillPrompt prompt = fill.prompt(request, 3 + 12);  // 9 of the prefix, 3 of the suffix
  EXPECT_EQ(shown(*tokenizer, prompt), "<fim_prefix>123456789<fim_suffix>abc<fim_middle>");
  EXPECT_EQ(prompt.prefix_cut, 1);
  EXPECT_EQ(prompt.suffix_cut, 7);
  request.prefix = "01";  // a short prefix leaves its room to the suffix
  prompt = fill.prompt(request, 3 + 8);
  EXPECT_EQ(shown(*tokenizer, prompt), "<fim_prefix>01<fim_suffix>abcdef<fim_middle>");
  request.context = {{"x", "first"}, {"y", "second"}, {"z", "third"}};
  prompt = fill.prompt(request, 4 + 12 + 9 + 8);  // "<file_sep>y\nsecond" takes 9, of z 8
  EXPECT_EQ(prompt.context_files, 2);
  EXPECT_EQ(shown(*tokenizer, prompt),
            "<file_sep>y\nsecond<file_sep>z\nthird<file_sep><fim_prefix>01<fim_suffix>abcdefghij"
            "<fim_middle>");
  EXPECT_THROW(fill.prompt(request, 3), Error);
  EXPECT_EQ(shown(*tokenizer, fill.prompt({}, 3)), "<fim_prefix><fim_suffix><fim_middle>");
}

// Facebook's format: a space before the prefix's first word, none before the suffix.
TEST(FillInTheMiddle, CodeLlamaEncodesTheSuffixAsAContinuation) {
  const auto tokenizer = code_llama_tokenizer();
  const FillInTheMiddle fill(*tokenizer, "model");
  EXPECT_STREQ(fill.style(), "CodeLlama");
  FillRequest request;
  request.prefix = "ab";
  request.suffix = "cd";
  EXPECT_EQ(fill.prompt(request, 100).ids,
            (std::vector<int32_t>{286, 3, 260, 261, 288, 262, 263, 287}));
  // What the model answers keeps its first space.
  StreamDecoder decoder(*tokenizer);
  decoder.continue_text();
  EXPECT_EQ(decoder.push(3) + decoder.push(260) + decoder.finish(), " a");
}

TEST(FillInTheMiddle, CursorsAreLinesAndCharacters) {
  const std::string text = "ab\nc\xc3\xa9" "d\r\n\nlast";
  const auto offset = [&](int64_t line, int64_t column) {
    return cursor_offset(text, {line, column}, "f.py");
  };
  EXPECT_EQ(offset(1, 1), 0u);
  EXPECT_EQ(offset(1, 3), 2u);
  EXPECT_EQ(offset(1, 0), 2u);
  EXPECT_EQ(offset(2, 3), 6u);  // é is one character of two bytes
  EXPECT_EQ(offset(2, 0), 7u);  // before the carriage return
  EXPECT_EQ(offset(3, 1), 9u);
  EXPECT_EQ(offset(4, 0), text.size());
  const auto message = [&](int64_t line, int64_t column) -> std::string {
    try {
      offset(line, column);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message(1, 4), "f.py: column 4: line 1 has 2 characters, so the last column is 3");
  EXPECT_EQ(message(5, 1), "f.py: line 5: the file has 4 lines");
}

}  // namespace
}  // namespace sumi::text

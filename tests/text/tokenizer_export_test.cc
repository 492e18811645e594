// Tokenizers on the way to GGUF and back to a folder's files.
#include "text/tokenizer_export.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "formats/temporary.h"
#include "text/cases.h"
#include "text/tokenizer_files.h"

namespace sumi::text {
namespace {

// A folder with the case as its tokenizer.json, and a GGUF file made of it; a case "folders/..." is the folder
// itself, which `change` changes.
class Exported {
 public:
  explicit Exported(const std::string& name,
                    const std::function<void(const fs::path&)>& change = {}) {
    const fs::path json = kTokenizerData / (name + ".json");
    if (fs::exists(json))
      fs::copy_file(json, folder_.file("tokenizer.json"));
    else if (name == "t5_json")  // the same vocabulary as transformers writes it
      fs::copy_file(fs::path(SUMI_TEST_DATA) / "t5" / "t5_gated_128" / "tokenizer.json",
                    folder_.file("tokenizer.json"));
    else if (fs::is_directory(kTokenizerData / name))
      fs::copy(kTokenizerData / name, folder_.path(), fs::copy_options::recursive);
    else  // a folder
      fs::copy(kTokenizerData / "folders" / name, folder_.path(), fs::copy_options::recursive);
    // Which token its post-processor puts first is said here, as in folders that people have.
    const std::string bos = name == "llama3"       ? "<|begin_of_text|>"
                            : name == "spm_legacy" ? "<s>"
                                                   : "";
    if (!bos.empty()) folder_.write("tokenizer_config.json", Json{{"bos_token", bos}}.dump());
    if (change) change(folder_.path());
    tokenizer = open_tokenizer(folder_.path());
    formats::GgufWriter writer;
    writer.set_string("general.architecture", "llama");
    loss = write_gguf_tokenizer(folder_.path(), *tokenizer, tokenizer->vocab_size() + 3, &writer);
    writer.write(folder_.file("m.gguf"));
    file = std::make_unique<formats::GgufFile>(folder_.file("m.gguf"));
  }
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<formats::GgufFile> file;
  GgufTokenizerLoss loss;

 private:
  formats::TemporaryFolder folder_;
};

class TokenizerExport : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerExport, GivesTheSameIdsAsGgufAndAsFilesAgain) {
  const Exported exported(GetParam());
  const auto gguf = tokenizer_from_gguf(*exported.file);
  EXPECT_EQ(exported.loss.nfc, std::string(GetParam()) == "qwen2");
  EXPECT_NO_THROW(check_same_tokenizer(*exported.tokenizer, *gguf, GetParam(), exported.loss.nfc));
  const formats::TemporaryFolder folder;
  write_tokenizer_files(*exported.file, *gguf, folder.path());
  const auto again = open_tokenizer(folder.path());
  EXPECT_NO_THROW(check_same_tokenizer(*exported.tokenizer, *again, GetParam(), exported.loss.nfc));
  EXPECT_EQ(again->bos_id, gguf->bos_id);
  EXPECT_EQ(again->eos_id, gguf->eos_id);
  // What is added around a text is not the export's matter.
  const EncodeOptions plain = {.add_special = false};
  for (const std::string& text : read_texts())
    EXPECT_EQ(gguf->encode(text, plain), again->encode(text, plain)) << text;
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerExport,
                         testing::Values("gpt2", "llama3", "smollm2", "gpt4o", "qwen2",
                                         "spm_legacy"),
                         [](const auto& info) { return std::string(info.param); });

// qwen.tiktoken without its last token, which no merges make: Qwen's pre-tokenizer in GGUF has merges make all.
void drop_last_rank(const fs::path& folder) {
  std::string ranks = read_all(folder / "qwen.tiktoken");
  ranks.resize(ranks.rfind('\n', ranks.size() - 2) + 1);
  std::ofstream(folder / "qwen.tiktoken", std::ios::binary) << ranks;
}

// Folders without tokenizer.json: every id of every text, special tokens within it or around it.
class PlainExport : public testing::TestWithParam<const char*> {};

TEST_P(PlainExport, GivesTheFoldersIds) {
  const std::string name = GetParam();
  const Exported exported("folders/" + name,
                          name == "qwen1" ? drop_last_rank : std::function<void(const fs::path&)>());
  const auto gguf = tokenizer_from_gguf(*exported.file);
  EXPECT_EQ(exported.loss.nfc, name == "qwen1" || name == "qwen2");
  EXPECT_EQ(exported.loss.prefix, name == "chatglm2" || name == "glm4");
  EXPECT_NO_THROW(check_same_tokenizer(*exported.tokenizer, *gguf, name, exported.loss.nfc));
  std::vector<std::string> texts = read_texts();
  // Control tokens that ChatGLM never finds in a text, and others that all do.
  for (const char* text : {"a philosophy of [gMASK]sop", "x</s> y<|endoftext|>  z\n<unk>",
                           "<|im_start|>user\nhello<|im_end|>\n", "the the\n\nthe the </s>"})
    texts.push_back(text);
  int compared = 0;
  for (const std::string& text : texts) {
    const auto normalized = [&](bool special) {
      return exported.tokenizer->encode(text, {.add_special = special});
    };
    // Texts that are not NFC change in the folder.
    if (exported.loss.nfc && repair_utf8(exported.tokenizer->decode(normalized(false), false)) != repair_utf8(text))
      continue;
    ++compared;
    EXPECT_EQ(gguf->encode(text), normalized(true)) << text;
    EXPECT_EQ(gguf->encode(text, {.add_special = false}), normalized(false)) << text;
    const EncodeOptions as_text = {.add_special = false, .parse_special = false};
    EXPECT_EQ(gguf->encode(text, as_text), exported.tokenizer->encode(text, as_text)) << text;
  }
  EXPECT_GT(compared, 200);
  // Where a file names none, llama.cpp has LLaMA's.
  EXPECT_EQ(gguf->bos_id, name == "chatglm2" ? 1 : exported.tokenizer->bos_id);
  EXPECT_EQ(gguf->eos_id, exported.tokenizer->eos_id);
}

INSTANTIATE_TEST_SUITE_P(Folders, PlainExport,
                         testing::Values("gpt2", "opt", "qwen2", "llama_legacy", "llama_new",
                                         "baichuan", "chatglm2", "qwen1", "llama3", "glm4"),
                         [](const auto& info) { return std::string(info.param); });

// tokenizer_config.json may give a piece another name, which is then found in text whole: InternLM2's chat tokens.
TEST(PlainExports, KeepTokensThatReplacePieces) {
  const Exported exported("folders/baichuan", [](const fs::path& folder) {
    Json config = Json::parse(read_all(folder / "tokenizer_config.json"));
    config["added_tokens_decoder"] = {{"250", {{"content", "<|im_end|>"}, {"special", true}}},
                                      {"251", {{"content", "<|tool|>"}, {"special", false}}}};
    std::ofstream(folder / "tokenizer_config.json") << config.dump();
  });
  const auto gguf = tokenizer_from_gguf(*exported.file);
  const std::string text = "a<|im_end|>the<|tool|> b";
  const std::vector<int32_t> ids = exported.tokenizer->encode(text);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 250), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 251), 1);
  EXPECT_EQ(exported.tokenizer->find_token("<|im_end|>"), 250);
  EXPECT_EQ(exported.tokenizer->decode(std::vector<int32_t>{250, 251}, false), "<|im_end|><|tool|>");
  EXPECT_EQ(exported.tokenizer->decode(std::vector<int32_t>{250, 251}), "<|tool|>");
  EXPECT_EQ(gguf->encode(text), ids);
  EXPECT_EQ(gguf->token_text(250), "<|im_end|>");
}

// What llama.cpp makes of such files is what Sumi makes of them without its own keys.
TEST(PlainExports, SayWhereLlamaCppDiffers) {
  const Exported legacy("folders/llama_legacy"), baichuan("folders/baichuan"),
      gpt2("folders/gpt2"), newer("folders/llama_new");
  EXPECT_EQ(llama_cpp_difference(*legacy.tokenizer, *legacy.file), "");
  EXPECT_EQ(llama_cpp_difference(*gpt2.tokenizer, *gpt2.file), "");
  EXPECT_NE(llama_cpp_difference(*newer.tokenizer, *newer.file), "");  // spaces after what is found whole
  EXPECT_NE(llama_cpp_difference(*baichuan.tokenizer, *baichuan.file), "");  // runs of spaces
}

// SentencePiece's BPE comes back from the file as it went in.
TEST(PlainExports, ComeBackAsFiles) {
  for (const char* name : {"folders/llama_legacy", "folders/llama_new"}) {
    const Exported exported(name);
    const auto gguf = tokenizer_from_gguf(*exported.file);
    const formats::TemporaryFolder folder;
    write_tokenizer_files(*exported.file, *gguf, folder.path());
    const auto again = open_tokenizer(folder.path());
    for (const std::string& text : read_texts())
      EXPECT_EQ(again->encode(text), exported.tokenizer->encode(text)) << text;
  }
}

// Without the spaces at its start, of which a GGUF file's tokenizer takes one and others all.
std::string started(const std::string& text) {
  return text.substr(std::min(text.find_first_not_of(' '), text.size()));
}

class UnigramExport : public testing::TestWithParam<const char*> {};

TEST_P(UnigramExport, GivesTheSameIdsAndTextsAsGguf) {
  const std::string name = GetParam();
  const Exported exported(name);
  const auto gguf = tokenizer_from_gguf(*exported.file);
  EXPECT_EQ(exported.file->get_string("tokenizer.ggml.model"), "t5");
  EXPECT_EQ(exported.loss.bytes, name == "unigram_bytes");
  EXPECT_NO_THROW(check_same_tokenizer(*exported.tokenizer, *gguf, name));
  int same = 0, all = 0;
  for (const std::string& text : read_texts()) {
    if (text.find("<0x") != std::string::npos) continue;  // tokenizers find such tokens in text
    const std::vector<int32_t> ids = exported.tokenizer->encode(text);
    ++all;
    same += gguf->encode(text) == ids ? 1 : 0;
    // A tokenizer.json may spell bytes and not join them.
    if (!exported.loss.bytes) {
      EXPECT_EQ(started(gguf->decode(ids)), started(exported.tokenizer->decode(ids))) << text;
    }
  }
  // tokenizers replaces the shortest match of a grapheme, sentencepiece and GGUF's readers the
  // longest of the text; and it cuts at white space that the table does not replace.
  EXPECT_GE(same, name == "t5_json" ? all * 17 / 20 : all);
}

INSTANTIATE_TEST_SUITE_P(Kinds, UnigramExport,
                         testing::Values("t5", "t5_json", "unigram_bytes"),
                         [](const auto& info) { return std::string(info.param); });

// A file of the gguf package's against sentencepiece itself.
TEST(UnigramGguf, GivesSentencePiecesIds) {
  const formats::GgufFile file(
      (fs::path(SUMI_TEST_DATA) / "t5" / "gguf_t5_128" / "model.gguf").string());
  const auto gguf = tokenizer_from_gguf(file);
  EXPECT_EQ(gguf->eos_id, 1);
  EXPECT_EQ(gguf->unk_id, 2);
  EXPECT_EQ(gguf->pad_id, 0);
  EXPECT_FALSE(gguf->bos_id);
  const Json expected = Json::parse(read_all(kTokenizerData / "folders" / "t5" / "expected.json"));
  const std::vector<std::string> texts = read_texts();
  ASSERT_EQ(texts.size(), expected["plain"].size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(gguf->encode(texts[i], {.add_special = false}),
              expected["plain"][i].get<std::vector<int32_t>>())
        << texts[i];
    if (!expected["ids"][i].is_null()) {
      EXPECT_EQ(gguf->encode(texts[i]), expected["ids"][i].get<std::vector<int32_t>>());
    }
  }
  const std::vector<int32_t> ids = gguf->encode("a <extra_id_0> b");
  EXPECT_NE(std::find(ids.begin(), ids.end(), *gguf->find_token("<extra_id_0>")), ids.end());
}

// Spaces that stand for themselves, but no second one where the text begins with one.
TEST(TokenizerExportErrors, WhatGgufsUnigramCannotDoShows) {
  const Exported exported("unigram");
  const auto gguf = tokenizer_from_gguf(*exported.file);
  formats::expect_mentions(
      formats::error_of([&] { check_same_tokenizer(*exported.tokenizer, *gguf, "unigram"); }),
      "the new form cannot express this tokenizer: it would give other ids for \"  leading");
}

TEST(TokenizerExportErrors, NameStepsOfUnigramThatGgufHasNot) {
  const formats::TemporaryFolder folder;
  Json config = Json::parse(read_all(kTokenizerData / "unigram_charsmap.json"));
  config["normalizer"] = {{"type", "Sequence"},
                          {"normalizers", {config["normalizer"], {{"type", "Lowercase"}}}}};
  folder.write("tokenizer.json", config.dump());
  const auto tokenizer = open_tokenizer(folder.path());
  formats::GgufWriter writer;
  formats::expect_mentions(formats::error_of([&] {
                             write_gguf_tokenizer(folder.path(), *tokenizer, 200, &writer);
                           }),
                           "GGUF has no place for the step Lowercase");
  config["normalizer"] = nullptr;
  folder.write("tokenizer.json", config.dump());
  const auto plain = open_tokenizer(folder.path());
  formats::GgufWriter small;
  formats::expect_mentions(
      formats::error_of([&] { write_gguf_tokenizer(folder.path(), *plain, 150, &small); }),
      "beyond the model's vocabulary of 150");
}

TEST(TokenizerExportErrors, NameSumisOwnKeys) {
  const auto open = [](int32_t id, bool add_bos) {
    const formats::TemporaryFolder folder;
    formats::GgufWriter writer;
    writer.set_string("tokenizer.ggml.model", "llama");
    writer.set_strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "a"});
    writer.set_int32s("tokenizer.ggml.token_type", {2, 3, 3, 1});
    writer.set_bool("tokenizer.ggml.add_bos_token", add_bos);
    writer.set_bool("sumi.tokenizer.sentencepiece", true);
    writer.set_int32s("sumi.tokenizer.searched_token_ids", {id});
    writer.set_int32s("sumi.tokenizer.prefix_token_ids", {2});
    writer.write(folder.file("m.gguf"));
    return tokenizer_from_gguf(formats::GgufFile(folder.file("m.gguf")));
  };
  EXPECT_EQ(open(1, false)->encode("</s>"), (std::vector<int32_t>{2, 0}));
  formats::expect_mentions(formats::error_of([&] { open(4, false); }),
                           "sumi.tokenizer.searched_token_ids: 4 is not in the vocabulary of 4");
  formats::expect_mentions(formats::error_of([&] { open(1, true); }),
                           "sumi.tokenizer.prefix_token_ids and add_bos_token are set both");
}

TEST(TokenizerExportErrors, NameWhatGgufHasNotOfAFoldersFiles) {
  const auto message = [](const char* name) {
    return formats::error_of([&] { const Exported exported(name); });
  };
  formats::expect_mentions(message("folders/qwen1"),
                           "qwen.tiktoken: no merges make the token Ãľnmergeable");
  formats::expect_mentions(message("folders/bert_cased"),
                           "vocab.txt: converting WordPiece to GGUF is not known");
}

TEST(TokenizerExportErrors, NameWhatGgufHasNot) {
  const std::pair<const char*, const char*> cases[] = {
      {"bert_cased", "converting WordPiece to GGUF is not known"},
      {"posix", "GGUF has no name for one that cuts like this"}};
  for (const auto& [name, words] : cases) {
    try {
      const Exported exported(name);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace sumi::text

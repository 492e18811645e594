// Tokenizers on the way to GGUF and back to a folder's files.
#include "text/tokenizer_export.h"

#include <gtest/gtest.h>

#include "formats/temporary.h"
#include "text/cases.h"
#include "text/tokenizer_files.h"

namespace sumi::text {
namespace {

// A folder with the case as its tokenizer.json, and a GGUF file made of it.
class Exported {
 public:
  explicit Exported(const std::string& name) {
    fs::copy_file(kTokenizerData / (name + ".json"), folder_.file("tokenizer.json"));
    // Which token its post-processor puts first is said here, as in folders that people have.
    const std::string bos = name == "llama3"       ? "<|begin_of_text|>"
                            : name == "spm_legacy" ? "<s>"
                                                   : "";
    if (!bos.empty()) folder_.write("tokenizer_config.json", Json{{"bos_token", bos}}.dump());
    tokenizer = open_tokenizer(folder_.path());
    formats::GgufWriter writer;
    writer.set_string("general.architecture", "llama");
    nfc_lost = write_gguf_tokenizer(folder_.path(), *tokenizer, tokenizer->vocab_size() + 3,
                                    &writer);
    writer.write(folder_.file("m.gguf"));
    file = std::make_unique<formats::GgufFile>(folder_.file("m.gguf"));
  }
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<formats::GgufFile> file;
  bool nfc_lost = false;

 private:
  formats::TemporaryFolder folder_;
};

class TokenizerExport : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerExport, GivesTheSameIdsAsGgufAndAsFilesAgain) {
  const Exported exported(GetParam());
  const auto gguf = tokenizer_from_gguf(*exported.file);
  EXPECT_EQ(exported.nfc_lost, std::string(GetParam()) == "qwen2");
  EXPECT_NO_THROW(check_same_tokenizer(*exported.tokenizer, *gguf, GetParam(), exported.nfc_lost));
  const formats::TemporaryFolder folder;
  write_tokenizer_files(*exported.file, *gguf, folder.path());
  const auto again = open_tokenizer(folder.path());
  EXPECT_NO_THROW(check_same_tokenizer(*exported.tokenizer, *again, GetParam(), exported.nfc_lost));
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

TEST(TokenizerExportErrors, NameWhatGgufHasNot) {
  const std::pair<const char*, const char*> cases[] = {
      {"unigram", "converting Unigram to GGUF is not known"},
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

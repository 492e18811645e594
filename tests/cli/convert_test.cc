#include <gtest/gtest.h>

#include <cstring>

#include "cli/command.h"

namespace sumi::cli {
namespace {

TEST(CliConvert, AGgufFileAnswersAsItsFolder) {
  const ModelFolder model;
  const std::string out = model / "m.gguf";
  const Outcome outcome = run("convert " + model.path() + " " + out + " --dtype f32");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("21 tensors"), std::string::npos) << outcome.out;
  const std::string more = " --prompt 'Hello, w0rld' --temperature 0 --max-tokens 24 --json";
  const nlohmann::json folder = run("generate " + model.path() + more).json();
  const nlohmann::json file = run("generate " + out + more).json();
  EXPECT_EQ(file["prompt_ids"], folder["prompt_ids"]);
  EXPECT_EQ(file["ids"], folder["ids"]);
  EXPECT_EQ(run("inspect " + out + " --json").json()["chat_template"], ModelFolder::kTemplate);
  EXPECT_EQ(run("convert " + model.path() + " " + out).code, 1);  // it is there
  EXPECT_EQ(run("convert " + model.path() + " " + out + " --force --dtype q8_0").code, 0);

  // And back: the same tensors, tokenizer and answers.
  const std::string plain = model / "f32.gguf", back = model / "back";
  ASSERT_EQ(run("convert " + model.path() + " " + plain + " --dtype f32").code, 0);
  const Outcome returned = run("convert " + plain + " " + back);
  ASSERT_EQ(returned.code, 0) << returned.err;
  EXPECT_EQ(run("generate " + back + more).json()["ids"], folder["ids"]);
  EXPECT_EQ(run("generate " + back + more).json()["prompt_ids"], folder["prompt_ids"]);
  EXPECT_EQ(run("inspect " + back + " --json").json()["chat_template"], ModelFolder::kTemplate);
  ASSERT_EQ(run("convert " + plain + " " + (model / "n.gguf") + " --dtype f16").code, 0);
  EXPECT_EQ(run("inspect " + (model / "n.gguf") + " --json").json()["dtypes"]["f16"]["tensors"],
            16);
}

TEST(CliConvert, T5AnswersAsItsFolder) {
  const std::string source = std::string(SUMI_TEST_DATA) + "/t5/t5_128";
  const Folder parent;
  const std::string out = parent / "m.gguf", small = parent / "q8.gguf";
  const Outcome outcome = run("convert " + source + " " + out + " --dtype f32");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  ASSERT_EQ(run("convert " + out + " " + small + " --dtype q8_0").code, 0);
  const std::string text = " 'The <extra_id_0> café of  worlds' --json";
  const std::string more = " --prompt 'the lazy dog' --temperature 0 --max-tokens 24 --json";
  const nlohmann::json folder = run("generate " + source + more + " --ignore-eos").json();
  const nlohmann::json file = run("generate " + out + more + " --ignore-eos --dtype f32").json();
  EXPECT_EQ(file["prompt_ids"], folder["prompt_ids"]);
  for (const std::string& one : {out, small}) {
    EXPECT_EQ(run("tokenize " + one + text).json(), run("tokenize " + source + text).json());
    EXPECT_EQ(run("inspect " + one + " --json").json()["supported"], true);
    EXPECT_EQ(run("generate " + one + more).code, 0);
  }
  EXPECT_EQ(run("generate " + source + more + " --ignore-eos --dtype f32").json()["ids"],
            file["ids"]);
  const std::string back = parent / "folder";
  ASSERT_EQ(run("convert " + out + " " + back).code, 0);
  EXPECT_EQ(run("generate " + back + more + " --ignore-eos --dtype f32").json()["ids"],
            file["ids"]);
  EXPECT_EQ(run("tokenize " + back + text).json(), run("tokenize " + source + text).json());
}

TEST(CliConvert, ASafetensorsFolderIsWhole) {
  const ModelFolder model;
  const Folder parent;
  ASSERT_EQ(run("convert " + model.path() + " " + (parent / "new") + " --dtype bf16").code, 0);
  const nlohmann::json json = run("inspect " + (parent / "new") + " --json").json();
  EXPECT_EQ(json["dtypes"]["bf16"]["tensors"], 21);
  EXPECT_EQ(json["chat_template"], ModelFolder::kTemplate);
  EXPECT_EQ(run("tokenize " + (parent / "new") + " 'a b'").out,
            run("tokenize " + model.path() + " 'a b'").out);
}

// tests/data/language/llama with the vocabulary of another folder.
void use_vocabulary(const ModelFolder& model, const std::string& name) {
  std::filesystem::remove(model / "tokenizer.json");
  std::filesystem::remove(model / "tokenizer_config.json");
  const std::string source = std::string(SUMI_TEST_DATA) + "/tokenizers/folders/" + name;
  for (const auto& entry : std::filesystem::directory_iterator(source)) {
    const std::string file = entry.path().filename().string();
    if (file != "config.json" && file != "expected.json")
      std::filesystem::copy_file(entry.path(), model / file);
  }
}

// Rows for every token of a vocabulary: the embedding and the head of tests/data/language/llama, repeated.
void widen(const ModelFolder& model, int64_t rows) {
  std::string bytes = slurp(model / "model.safetensors");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  const nlohmann::json header = nlohmann::json::parse(bytes.substr(8, length));
  nlohmann::json written = nlohmann::json::object();
  std::string data;
  for (const auto& [name, info] : header.items()) {
    if (name == "__metadata__") continue;
    const auto begin = info["data_offsets"][0].get<size_t>(),
               end = info["data_offsets"][1].get<size_t>();
    std::string tensor = bytes.substr(8 + length + begin, end - begin);
    nlohmann::json shape = info["shape"];
    if (name == "model.embed_tokens.weight" || name == "lm_head.weight") {
      const size_t row = tensor.size() / shape[0].get<size_t>(), all = row * static_cast<size_t>(rows);
      while (tensor.size() < all) tensor += tensor;
      tensor.resize(all);
      shape[0] = rows;
    }
    written[name] = {{"dtype", info["dtype"]},
                     {"shape", shape},
                     {"data_offsets", {data.size(), data.size() + tensor.size()}}};
    data += tensor;
  }
  const std::string text = written.dump();
  length = text.size();
  spill(model / "model.safetensors",
        std::string(reinterpret_cast<const char*>(&length), 8) + text + data);
  nlohmann::json config = nlohmann::json::parse(slurp(model / "config.json"));
  config["vocab_size"] = rows;
  spill(model / "config.json", config.dump());
}

// Folders without tokenizer.json: SentencePiece's file, vocab.json with merges.txt, tiktoken's ranks.
TEST(CliConvert, AVocabularyOfItsOwnFilesIsInTheGgufFile) {
  for (const char* name : {"llama_legacy", "chatglm2", "opt", "llama3"}) {
    const ModelFolder model;
    use_vocabulary(model, name);
    widen(model, 800);
    const std::string out = model / "m.gguf";
    const Outcome outcome = run("convert " + model.path() + " " + out);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(outcome.out.find("llama.cpp does not put the tokens before a text") != std::string::npos,
              std::string(name) == "chatglm2");
    const std::string text = " 'The café of  philosophy, <|im_start|> and 12345 worlds</s>.' --json";
    EXPECT_EQ(run("tokenize " + out + text).json()["ids"], run("tokenize " + model.path() + text).json()["ids"]);
    EXPECT_EQ(run("generate " + out + " --prompt 'the dog' --max-tokens 2").code, 0);
  }
}

TEST(CliConvert, SaysThatThereIsNoTokenizer) {
  const ModelFolder model;
  std::filesystem::remove(model / "tokenizer.json");
  const Outcome outcome = run("convert " + model.path() + " " + (model / "m.gguf"));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.err.find(model.path() + ": has no tokenizer"), std::string::npos) << outcome.err;
}

TEST(CliConvert, AFolderKeepsTiktokensRanks) {
  const ModelFolder model;
  use_vocabulary(model, "qwen1");
  const Folder parent;
  ASSERT_EQ(run("convert " + model.path() + " " + (parent / "new")).code, 0);
  EXPECT_EQ(run("tokenize " + (parent / "new") + " 'a b'").out,
            run("tokenize " + model.path() + " 'a b'").out);
  EXPECT_TRUE(std::filesystem::exists(parent / "new/qwen.tiktoken"));
}

TEST(CliConvert, NamesWeightsAlone) {
  const Folder parent;
  const std::string data = std::string(SUMI_TEST_DATA) + "/language/";
  std::string checkpoint;
  for (const auto& entry : std::filesystem::directory_iterator(data + "rwkv_pth"))
    if (entry.path().extension() == ".pth") checkpoint = entry.path().string();
  for (const std::string& path : {checkpoint, data + "llama/model.safetensors"})
    for (const char* target : {"m.gguf", "folder"}) {
      const Outcome outcome = run("convert " + path + " " + (parent / target));
      EXPECT_EQ(outcome.code, 1);
      EXPECT_NE(outcome.err.find("file alone; expected a Hugging Face folder"), std::string::npos)
          << outcome.err;
    }
}

TEST(CliConvert, WrongUse) {
  const ModelFolder model;
  const std::string start = "convert " + model.path();
  EXPECT_EQ(run(start).code, 2);
  EXPECT_EQ(run(start + " " + (model / "x") + " --dtype q9").code, 2);
  EXPECT_EQ(run(start + " " + (model / "x") + " --to onnx").code, 2);
  EXPECT_EQ(run(start + " " + (model / "x") + " --dtype q8_0").code, 2);  // a folder
  EXPECT_EQ(run(start + " /no/such/folder/x.gguf").code, 1);
  spill(model / "config.json", "{}");
  EXPECT_EQ(run(start + " " + (model / "x.gguf")).code, 1);
  EXPECT_FALSE(std::filesystem::exists(model / "x.gguf"));
}

}  // namespace
}  // namespace sumi::cli

#include <gtest/gtest.h>

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

// A recurrent model from its author's file, with the tokenizer of another folder, and its state in
// a file between two runs.
#include <gtest/gtest.h>

#include "cli/command.h"

namespace sumi::cli {
namespace {

const std::string kRwkv = std::string(SUMI_TEST_DATA) + "/language/rwkv_pth/model.pth";
const std::string kLlama = std::string(SUMI_TEST_DATA) + "/language/llama";

TEST(State, ATextGoesOnInAnotherRun) {
  const Folder folder;
  const std::string state = folder / "text.state";
  const std::string greedy = " --temperature 0 --ignore-eos --json ";
  const nlohmann::json whole =
      run("generate " + kRwkv + " --prompt-ids 5,6,7 --max-tokens 12" + greedy).json();
  const nlohmann::json first =
      run("generate " + kRwkv + " --prompt-ids 5,6,7 --max-tokens 5 --save-state " + state + greedy)
          .json();
  const nlohmann::json second = run("generate " + kRwkv + " --load-state " + state +
                                    " --max-tokens 7 --threads 1" + greedy)
                                    .json();
  std::vector<int32_t> joined = first["ids"];
  joined.insert(joined.end(), second["ids"].begin(), second["ids"].end());
  EXPECT_EQ(joined, whole["ids"].get<std::vector<int32_t>>());
  EXPECT_EQ(second["timings"]["prefill_tokens"], 1);  // the first run's last token
  const nlohmann::json more = run("generate " + kRwkv + " --load-state " + state +
                                  " --prompt-ids 9,8 --max-tokens 1" + greedy)
                                  .json();
  std::vector<int32_t> prompt = {5, 6, 7};
  prompt.insert(prompt.end(), first["ids"].begin(), first["ids"].end());
  prompt.insert(prompt.end(), {9, 8});
  EXPECT_EQ(more["prompt_ids"].get<std::vector<int32_t>>(), prompt);
}

TEST(State, WhatCannotBeIsSaid) {
  const Folder folder;
  const std::string state = folder / "text.state";
  const auto error = [](const std::string& arguments, int code) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, code) << arguments;
    return outcome.err;
  };
  EXPECT_NE(error("generate " + kLlama + " --prompt-ids 5 --save-state " + state, 1)
                .find("cannot be saved"),
            std::string::npos);
  spill(state, "no state");
  EXPECT_NE(error("generate " + kRwkv + " --load-state " + state, 1).find("text.state"),
            std::string::npos);
  EXPECT_NE(error("generate " + kRwkv + " --beams 2 --prompt-ids 5 --save-state " + state, 2)
                .find("--beams"),
            std::string::npos);
}

TEST(State, AFileAloneTakesATokenizer) {
  const ModelFolder other;
  const Outcome without = run("generate " + kRwkv + " --prompt Hello");
  EXPECT_EQ(without.code, 1);
  EXPECT_NE(without.err.find("no tokenizer"), std::string::npos) << without.err;
  const nlohmann::json json = run("generate " + kRwkv + " --prompt Hello --tokenizer " +
                                  (other / "tokenizer.json") + " --max-tokens 3 --json")
                                  .json();
  EXPECT_EQ(json["prompt_ids"].get<std::vector<int32_t>>(),
            (std::vector<int32_t>{44, 73, 80, 80, 83}));
  // Beside the file it is found.
  std::filesystem::copy_file(kRwkv, other / "other.pth");
  std::filesystem::rename(other / "tokenizer.json", other / "20B_tokenizer.json");
  const std::string found = other / "other.pth";
  EXPECT_EQ(run("tokenize " + found + " Hello --json").json()["ids"],
            (std::vector<int32_t>{44, 73, 80, 80, 83}));
  EXPECT_EQ(run("generate " + found + " --prompt Hello --max-tokens 3 --json").json()["prompt_ids"],
            json["prompt_ids"]);
}

TEST(State, InspectKnowsTheAuthorsFile) {
  const nlohmann::json json = run("inspect " + kRwkv + " --json").json();
  EXPECT_EQ(json["architecture"], "rwkv");
  EXPECT_EQ(json["format"], "PyTorch file");
  EXPECT_EQ(json["num_layers"], 3);
  EXPECT_EQ(json["memory_bytes"].get<int64_t>() - json["weight_bytes"].get<int64_t>(),
            3 * 5 * 32 * 4);
  const Outcome text = run("inspect " + kRwkv);
  EXPECT_NE(text.out.find("for the state, whatever the length"), std::string::npos) << text.out;
}

}  // namespace
}  // namespace sumi::cli

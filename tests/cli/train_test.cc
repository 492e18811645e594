// sumi train text, merge, plot and data: as a user runs them, at tiny size.
#include <gtest/gtest.h>

#include "cli/stopped_run.h"

namespace sumi::cli {
namespace {

std::string dialogues(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    const nlohmann::json row = {
        {"messages",
         {{{"role", "user"}, {"content", std::to_string(i) + "?"}},
          {{"role", "assistant"}, {"content", "it is " + std::to_string(i * i)}}}}};
    lines += row.dump() + "\n";
  }
  return lines;
}

class Train : public testing::Test {
 protected:
  Train() { spill(folder_ / "data.jsonl", dialogues(12)); }

  std::string command(const std::string& more, const std::string& folder) const {
    return "train text " + model_.path() + " --data " + (folder_ / "data.jsonl") + " -o " +
           (folder_ / folder) + " --batch-size 2 --learning-rate 0.005 " + more;
  }

  ModelFolder model_;
  Folder folder_;
};

TEST_F(Train, LoraFromDataToChatAndMerge) {
  const Outcome outcome = run(command(
      "--method lora --rank 4 --steps 30 --eval-split 0.25 --log-every 5 --samples 1", "run"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("adapter written; held-out loss "), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.err.find("step 30/30"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("tokens/s"), std::string::npos);
  const std::string run_folder = folder_ / "run";
  const std::string ask = " --prompt 3? --temperature 0 --max-tokens 12 --dtype f32";
  const Outcome with = run("chat " + model_.path() + " --adapter " + run_folder + ask);
  ASSERT_EQ(with.code, 0) << with.err;
  EXPECT_EQ(with.out.substr(0, 6), "it is ");
  EXPECT_NE(run("chat " + model_.path() + ask).out, with.out);
  ASSERT_EQ(run("merge " + model_.path() + " " + run_folder + " -o " + (folder_ / "merged")).code, 0);
  EXPECT_EQ(run("chat " + (folder_ / "merged") + ask).out, with.out);
  ASSERT_EQ(run("plot " + run_folder + " -o " + (folder_ / "loss.svg")).code, 0);
  ASSERT_EQ(run("plot " + run_folder + " -o " + (folder_ / "loss.png")).code, 0);
  EXPECT_EQ(slurp(folder_ / "loss.png").substr(1, 3), "PNG");
  EXPECT_NE(slurp(folder_ / "loss.svg").find("eval_loss"), std::string::npos);
  const Outcome unknown = run("plot " + run_folder + " -o " + (folder_ / "x.svg") + " --values nope");
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.err.find("gradient_norm"), std::string::npos) << unknown.err;
  EXPECT_EQ(run("plot " + run_folder + " -o " + (folder_ / "x.gif")).code, 2);
}

TEST_F(Train, FullGivesAModel) {
  const Outcome outcome =
      run(command("--method full --steps 20 --optimizer adamw_8bit --packing --max-length 64 "
                  "--checkpoint-activations --save-dtype bf16 --samples 0",
                  "run"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Outcome answer =
      run("chat " + (folder_ / "run") + " --prompt 3? --temperature 0 --max-tokens 12");
  EXPECT_EQ(answer.out.substr(0, 6), "it is ") << answer.err;
  EXPECT_NE(slurp(folder_ / "run/config.json").find("\"bfloat16\""), std::string::npos);
}

// A base model without a chat template learns ChatML, whose tokens it did not have.
TEST_F(Train, ABaseModelIsGivenAChatTemplate) {
  const ModelFolder base("");
  const auto train = [&](const std::string& more, const std::string& folder) {
    return run("train text " + base.path() + " --data " + (folder_ / "data.jsonl") + " -o " +
               (folder_ / folder) + " --batch-size 4 --steps 40 --learning-rate 0.01 --samples 0 " + more);
  };
  const Outcome refused = train("", "none");
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("--chat-template chatml"), std::string::npos) << refused.err;
  const std::string ask = " --prompt 3? --temperature 0 --max-tokens 12 --dtype f32";
  for (const std::string method : {"lora", "qlora"}) {
    const Outcome outcome = train("--chat-template chatml --method " + method, method);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const Outcome answer = run("chat " + base.path() + " --adapter " + (folder_ / method) + ask);
    EXPECT_EQ(answer.out.substr(0, 6), "it is ") << answer.err;
    EXPECT_EQ(answer.out.find("<|im_end|>"), std::string::npos);
    const std::string merged = folder_ / method + "-merged";
    ASSERT_EQ(run("merge " + base.path() + " " + (folder_ / method) + " -o " + merged).code, 0);
    EXPECT_EQ(run("chat " + merged + ask).out, answer.out);
  }
  const auto config = nlohmann::json::parse(slurp(folder_ / "lora/adapter_config.json"));
  const nlohmann::json ids = {131, 132};
  EXPECT_EQ(config.at("trainable_token_indices"), (nlohmann::json{{"embed_tokens", ids}, {"lm_head", ids}}));
  const Outcome full = train("--chat-template chatml --method full", "full");
  ASSERT_EQ(full.code, 0) << full.err;
  EXPECT_EQ(run("chat " + (folder_ / "full") + ask).out.substr(0, 6), "it is ");
  EXPECT_EQ(nlohmann::json::parse(slurp(folder_ / "full/config.json")).at("vocab_size"), 133);
}

TEST_F(Train, DryRunWritesNothing) {
  const Outcome outcome = run(command("--dry-run", "run"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* part : {"model ", "optimiser ", "largest ", "tokens/s"})
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
}

TEST_F(Train, BadOptionsAreRefusedBeforeAnythingIsLoaded) {
  const auto expect_refused = [&](const std::string& arguments, int code, const std::string& part) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, code) << arguments << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  };
  const std::string no_model = "train text nowhere --data " + (folder_ / "data.jsonl") + " -o x ";
  expect_refused(no_model + "--method full --rank 4", 2, "--rank");
  expect_refused(no_model + "--save-dtype bf16", 2, "--save-dtype");
  expect_refused(no_model + "--momentum 0.5", 2, "--momentum");
  expect_refused(no_model + "--eval-data a --eval-split 0.1", 1, "given twice");
  expect_refused(no_model + "--epochs 0", 1, "epochs");
  expect_refused("train text nowhere --data none.jsonl -o x", 1, "none.jsonl");
  spill(folder_ / "bad.jsonl", "{\"question\": \"a\", \"answer\": \"b\"}\n");
  expect_refused("train text nowhere --data " + (folder_ / "bad.jsonl") + " -o x", 1,
                 "found answer, question");
  expect_refused(no_model, 1, "nowhere");
  expect_refused(command("--target-modules w_q", "run"), 1, "q_proj");
  expect_refused("train", 2, "");
}

TEST_F(Train, KilledAtRandomMomentsItGoesOnToTheSameBits) {
  const std::string options = "--method lora --rank 2 --steps 400 --save-every 3 --keep 2 "
                              "--log-every 50 --samples 0 --threads 1";
  const int killed =
      kill_and_resume(command(options, "whole"), command(options + " --resume", "cut"), 20);
  EXPECT_GT(killed, 5);  // of the others, some ended before the signal came
  EXPECT_EQ(slurp(folder_ / "cut/adapter_model.safetensors"),
            slurp(folder_ / "whole/adapter_model.safetensors"));
  size_t checkpoints = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "cut"))
    checkpoints += entry.path().filename().string().find("checkpoint-") != std::string::npos;
  EXPECT_EQ(checkpoints, 2u);
}

TEST(Data, OasstIsFlattened) {
  const Folder folder;
  spill(folder / "trees.jsonl",
        R"({"prompt":{"text":"q","role":"prompter","replies":[{"text":"a","role":"assistant"}]}})");
  const Outcome outcome =
      run("data oasst " + (folder / "trees.jsonl") + " -o " + (folder / "out.jsonl"));
  EXPECT_EQ(outcome.out, "1 dialogues (2 messages) of 1 trees\n") << outcome.err;
  EXPECT_EQ(slurp(folder / "out.jsonl"),
            "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
            "{\"role\":\"assistant\",\"content\":\"a\"}]}\n");
}

}  // namespace
}  // namespace sumi::cli

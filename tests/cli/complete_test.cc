#include <gtest/gtest.h>

#include "cli/command.h"

namespace sumi::cli {
namespace {

// A ModelFolder whose last ids are these special tokens.
class CodeModel : public ModelFolder {
 public:
  explicit CodeModel(const std::vector<std::string>& tokens) {
    nlohmann::json tokenizer = nlohmann::json::parse(slurp(*this / "tokenizer.json"));
    nlohmann::json& vocab = tokenizer["model"]["vocab"];
    int id = 131 - static_cast<int>(tokens.size());
    for (auto it = vocab.begin(); it != vocab.end();)
      it = it.value() >= id ? vocab.erase(it) : std::next(it);
    for (const std::string& token : tokens)
      tokenizer["added_tokens"].push_back({{"id", id++}, {"content", token}, {"special", true}});
    spill(*this / "tokenizer.json", tokenizer.dump());
  }
};

const std::vector<std::string> kStarCoder2 = {"<fim_prefix>", "<fim_middle>", "<fim_suffix>",
                                              "<repo_name>", "<file_sep>"};

std::string prompt_text(const CodeModel& model, const nlohmann::json& result) {
  std::string ids;
  for (const int id : result["prompt_ids"]) ids += (ids.empty() ? "" : ",") + std::to_string(id);
  const std::string text = run("tokenize " + model.path() + " --decode " + ids).out;
  return text.substr(0, text.size() - 1);
}

TEST(CliComplete, FillsBetweenPrefixAndSuffix) {
  const CodeModel model(kStarCoder2);
  spill(model / "a", "x = <fim_middle>");
  spill(model / "b", " + y\n");
  const std::string command = "complete " + model.path() + " --prefix-file " + (model / "a") +
                              " --suffix-file " + (model / "b") + " --max-tokens 12";
  const Outcome outcome = run(command + " --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const nlohmann::json json = outcome.json();
  EXPECT_EQ(json["tokens_of"], "StarCoder2");
  EXPECT_EQ(prompt_text(model, json), "<fim_prefix>x = <fim_middle><fim_suffix> + y\n<fim_middle>");
  const std::vector<int> ids = json["prompt_ids"];
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 127), 1);  // the one that the file spells is text
  EXPECT_EQ(run(command).out, json["text"]);  // nothing is added, and the same again
  EXPECT_EQ(run(command + " --temperature 1 --seed 3 --json").json()["seed"], 3);
}

TEST(CliComplete, FindsACursorInAFile) {
  const CodeModel model(kStarCoder2);
  spill(model / "f", "one\ntwo\n");
  const std::string command = "complete " + model.path() + " --max-tokens 2 --json";
  const auto prompt = [&](const std::string& where) {
    const Outcome outcome = run(command + " " + where);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return prompt_text(model, outcome.json());
  };
  EXPECT_EQ(prompt("--file " + (model / "f") + " --line 2 --column 2"),
            "<fim_prefix>one\nt<fim_suffix>wo\n<fim_middle>");
  EXPECT_EQ(prompt("--file - --line 1 < " + (model / "f")),
            "<fim_prefix>one<fim_suffix>\ntwo\n<fim_middle>");
  spill(model / "g", "G");
  EXPECT_EQ(prompt("--file - --line 1 --file-name f.c --repo-name r --context-file " +
                   (model / "g") + " < " + (model / "f")),
            "<repo_name>r<file_sep>" + (model / "g") +
                "\nG<file_sep><fim_prefix>f.c\none<fim_suffix>\ntwo\n<fim_middle>");
  const Outcome beyond = run(command + " --file " + (model / "f") + " --line 9");
  EXPECT_EQ(beyond.code, 1);
  EXPECT_NE(beyond.err.find("line 9: the file has 3 lines"), std::string::npos) << beyond.err;
}

TEST(CliComplete, LongFilesAreCutFarFromTheGap) {
  const CodeModel model(kStarCoder2);
  spill(model / "f", std::string(400, 'a') + "|" + std::string(400, 'b'));
  const Outcome outcome = run("complete " + model.path() + " --file " + (model / "f") +
                              " --line 1 --column 402 --max-tokens 6 --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const nlohmann::json json = outcome.json();
  EXPECT_EQ(json["prompt_ids"].size(), 250u);  // the context of 256 less 6
  const std::string text = prompt_text(model, json);
  EXPECT_NE(text.find("aa|<fim_suffix>bb"), std::string::npos);
  EXPECT_GT(json["prefix_cut"], 0);
  EXPECT_NE(outcome.err.find("before the gap are left out"), std::string::npos) << outcome.err;
}

TEST(CliComplete, WrongUse) {
  const CodeModel model({"<fim-prefix>", "<fim-middle>", "<fim-suffix>"});
  spill(model / "f", "text");
  const std::string file = " --file " + (model / "f") + " --line 1";
  for (const std::string& wrong :
       {std::string(""), " --file " + (model / "f"), std::string(" --line 1"),
        file + " --prefix-file " + (model / "f"), file + " --line 0", file + " --max-tokens 0",
        " --column 2 --prefix-file " + (model / "f"),
        std::string(" --prefix-file - --suffix-file -")})
    EXPECT_EQ(run("complete " + model.path() + wrong).code, 2) << wrong;
  EXPECT_EQ(run("complete" + file).code, 2);
  EXPECT_EQ(run("complete " + model.path() + " --file /no/such --line 1").code, 1);
  EXPECT_EQ(run("complete " + model.path() + file + " --max-tokens 256").code, 1);
  const Outcome context = run("complete " + model.path() + file + " --repo-name r");
  EXPECT_EQ(context.code, 1);
  EXPECT_NE(context.err.find("no token for a repository's name"), std::string::npos);
  const ModelFolder plain;
  const Outcome none = run("complete " + plain.path() + file);
  EXPECT_EQ(none.code, 1);
  EXPECT_NE(none.err.find("no tokens for filling in code"), std::string::npos) << none.err;
}

TEST(CliPresets, MakeAnAssistantOfABaseModel) {
  const Outcome list = run("chat --list-presets");
  EXPECT_EQ(list.code, 0);
  for (const char* name : {"tech-assistant", "assistant-zh", "assistant-ja", "code-reviewer"})
    EXPECT_NE(list.out.find(name), std::string::npos) << name;
  const ModelFolder model("");
  const std::string common = "chat " + model.path() + " --prompt Hi --max-tokens 4 ";
  const Outcome without = run(common);
  EXPECT_EQ(without.code, 1);
  EXPECT_NE(without.err.find("--preset"), std::string::npos) << without.err;
  spill(model / "mine.txt", "user: Q:\nassistant: A:\n[system]\nS\n[user]\nq\n[assistant]\na\n");
  EXPECT_EQ(run(common + "--preset " + (model / "mine.txt")).code, 0);
  spill(model / "system", "Be brief.");
  const Outcome system = run(common + "--temperature 0 --system-file " + (model / "system"));
  EXPECT_EQ(system.code, 0) << system.err;
  EXPECT_EQ(run(common + "--temperature 0 --system 'Be brief.'").out, system.out);
  EXPECT_EQ(run(common + "--system x --system-file " + (model / "system")).code, 2);
  const Outcome unknown = run(common + "--preset pirate");
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.err.find("preset pirate: not known; there are assistant,"), std::string::npos);
  // The tiny context of 256 has no room for this one; that is said.
  const Outcome large = run(common + "--preset tech-assistant");
  EXPECT_EQ(large.code, 1);
  EXPECT_NE(large.err.find("the preset's examples"), std::string::npos) << large.err;
}

TEST(CliPresets, ChangeInAConversation) {
  const ModelFolder model("");
  spill(model / "mine.txt", "about: Mine\nuser: Q:\nassistant: A:\n[system]\nS\n");
  spill(model / "in", "/preset " + (model / "mine.txt") + "\nHi\n");
  const Outcome outcome = run("chat " + model.path() + " --system x --max-tokens 4 < " + (model / "in"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("Preset: Mine"), std::string::npos) << outcome.err;
  spill(model / "in", "/preset\n/preset nothing\n");
  const Outcome wrong = run("chat " + model.path() + " --system x < " + (model / "in"));
  EXPECT_EQ(wrong.code, 1);
  EXPECT_NE(wrong.err.find("tech-assistant"), std::string::npos);
}

}  // namespace
}  // namespace sumi::cli

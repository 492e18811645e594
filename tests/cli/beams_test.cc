// sumi generate --beams against transformers (tools/reference/beam_search.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "cli/command.h"

namespace sumi::cli {
namespace {

using nlohmann::json;

const std::string kData = std::string(SUMI_TEST_DATA) + "/";

std::string joined(const json& ids) {
  std::string text;
  for (const json& id : ids) text += (text.empty() ? "" : ",") + id.dump();
  return text;
}

std::string command(const json& c) {
  std::string text = "generate " + kData + c["model"].get<std::string>() + " --prompt-ids " +
                     joined(c["prompt"]) + " --dtype f32 --beams " + c["beams"].dump() +
                     " --results " + c["results"].dump() + " --max-tokens " +
                     c["max_tokens"].dump() + " --length-penalty " + c["length_penalty"].dump() +
                     " --early-stopping " + c["early_stopping"].get<std::string>();
  for (const json& id : c["end_ids"]) text += " --stop-id " + id.dump();
  return text;
}

TEST(CliBeams, TextsAreThoseOfTransformers) {
  std::map<std::string, std::set<std::string>> shown;  // of each model
  for (const json& c : json::parse(slurp(kData + "language/beams.json"))) {
    // Of 25 searches for each model: one without ends, and those with two ends and two penalties.
    const double penalty = c["length_penalty"];
    if (c["end_ids"].size() == 1 || std::fabs(penalty) != 1) continue;
    const std::string arguments = command(c);
    SCOPED_TRACE(arguments);
    const Outcome outcome = run(arguments + " --json");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const json found = outcome.json();
    EXPECT_EQ(found["prompt_ids"], c["prompt"]);
    ASSERT_EQ(found["texts"].size(), c["results"].get<size_t>());
    std::string lines;
    for (size_t i = 0; i < found["texts"].size(); ++i) {
      const json &text = found["texts"][i], &expected = c["texts"][i];
      const json& ids = text["ids"];
      EXPECT_EQ(ids, expected["ids"]) << "text " << i;
      const double score = expected["score"];
      EXPECT_NEAR(text["score"].get<double>(), score, 1e-4 * std::max(1.0, std::fabs(score)));
      const bool ended = std::count(c["end_ids"].begin(), c["end_ids"].end(), ids.back()) > 0;
      EXPECT_EQ(text["finish_reason"], ended ? "stop" : "length") << "text " << i;
      lines += joined(ids) + "\n";
    }
    EXPECT_EQ(run(arguments).out, lines);
    shown[c["model"]].insert(lines);
  }
  EXPECT_EQ(shown.size(), 5u);
  for (const auto& [model, texts] : shown) EXPECT_GE(texts.size(), 2u) << model;
}

// As JSON has it: what is no UTF-8 is replaced.
std::string repaired(const std::string& text) {
  return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace));
}

TEST(CliBeams, TextWithoutTheTokenThatEndedIt) {
  const ModelFolder model;
  const std::string arguments = "generate " + model.path() +
                                " --prompt Hello --dtype f32 --beams 3 --results 3 --max-tokens 12";
  const json ids = run(arguments + " --ignore-eos --json").json()["texts"][0]["ids"];
  // A character that the best text has once.
  const auto once = std::find_if(ids.begin(), ids.end(), [&](const json& id) {
    return id > 4 && id < 99 && std::count(ids.begin(), ids.end(), id) == 1;
  });
  ASSERT_NE(once, ids.end());
  const std::string stopping = arguments + " --stop-id " + once->dump();
  const json texts = run(stopping + " --json").json()["texts"];
  ASSERT_EQ(texts.size(), 3u);
  int ended = 0;
  std::string lines;
  for (const json& text : texts) {
    std::vector<int32_t> kept = text["ids"];
    if (text["finish_reason"] == "stop") {
      EXPECT_TRUE(kept.back() == *once || kept.back() == 2) << kept.back();
      kept.pop_back();
      ++ended;
    }
    ASSERT_FALSE(kept.empty());
    const std::string line = run("tokenize " + model.path() + " --decode " + joined(kept)).out;
    EXPECT_EQ(text["text"].get<std::string>() + "\n", repaired(line));
    lines += line;
  }
  EXPECT_GT(ended, 0);
  EXPECT_EQ(run(stopping).out, lines);
}

TEST(CliBeams, WhatDoesNotGoTogetherIsWrongUsage) {
  const std::string start = "generate " + kData + "language/llama --prompt-ids 5,6 ";
  for (const auto& [options, part] :
       {std::pair{"--results 2", "--results"}, std::pair{"--beams 2 --results 3", "at most 2"},
        std::pair{"--beams 2 --temperature 1", "sampling"}, std::pair{"--beams 0", "--beams"},
        std::pair{"--beams 2 --early-stopping maybe", "--early-stopping"},
        std::pair{"--beams 2 --length-penalty 101", "--length-penalty"}}) {
    const Outcome outcome = run(start + options);
    EXPECT_EQ(outcome.code, 2) << options;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
}

}  // namespace
}  // namespace sumi::cli

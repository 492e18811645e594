#include "generate/preset.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "generate/chat_session.h"
#include "generate/fake_model.h"

namespace sumi::generate {
namespace {

std::string parse_error(const std::string& text) {
  try {
    parse_preset(text, "p");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

const char* kPirate =
    "about: A pirate\nuser: Mate:\nassistant: Pirate:\n\n[system]\nTwo people talk.\n\n[user]\n\nHi\n"
    "\n[assistant]\nArr!\n\nAhoy.\n";

TEST(Preset, AFileHasMarkersASystemTextAndExamples) {
  const Preset preset = parse_preset(kPirate, "pirate");
  EXPECT_EQ(preset.about, "A pirate");
  EXPECT_EQ(preset.markers.user, "Mate:");
  EXPECT_EQ(preset.markers.assistant, "Pirate:");
  EXPECT_EQ(preset.system, "Two people talk.");
  ASSERT_EQ(preset.examples.size(), 2u);
  EXPECT_EQ(preset.examples[0].content, "Hi");
  EXPECT_EQ(preset.examples[1].role, "assistant");
  EXPECT_EQ(preset.examples[1].content, "Arr!\n\nAhoy.");
}

TEST(Preset, WhatIsWrongWithAFileIsSaid) {
  EXPECT_EQ(parse_error("about: x\n"), "preset p: expected the section [system] first");
  EXPECT_EQ(parse_error("nonsense\n"),
            "preset p: expected about:, language:, user:, assistant: or [system], found \"nonsense\"");
  EXPECT_EQ(parse_error("user:\n[system]\na"), "preset p: user: is empty");
  EXPECT_EQ(parse_error("[system]\na\n[assistant]\nb"),
            "preset p: section 2: expected [user], found [assistant]");
  EXPECT_EQ(parse_error("[system]\na\n[user]\nb"), "preset p: the last [user] has no [assistant]");
  EXPECT_EQ(parse_error("[system]\n\n"), "preset p: section 1: [system] is empty");
}

TEST(Preset, ShippedOnesAreComplete) {
  std::set<std::string> names, languages;
  for (const Preset& preset : presets()) {
    names.insert(preset.name);
    languages.insert(preset.language);
    EXPECT_FALSE(preset.about.empty()) << preset.name;
    EXPECT_GE(preset.examples.size(), 4u) << preset.name;
    EXPECT_EQ(open_preset(preset.name).system, preset.system);
  }
  for (const char* name : {"assistant", "assistant-ja", "assistant-zh", "code-reviewer",
                           "tech-assistant", "translator-en", "translator-ja", "translator-zh"})
    EXPECT_TRUE(names.count(name)) << name;
  EXPECT_EQ(languages, (std::set<std::string>{"en", "ja", "zh"}));
  try {
    open_preset("no-such");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("preset no-such: not known; there are assistant, "),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(open_preset("./no-such.txt"), Error);
}

TEST(Preset, WithATemplateItIsASystemMessageAndExamples) {
  FakeModel model;
  model.positions = 200;
  FakeTokenizer tokenizer;
  ChatSession session(model, tokenizer, "fake");
  session.use(parse_preset(kPirate, "pirate"));
  GenerateOptions options;
  options.sampling.temperature = 0;
  const GenerateResult result = session.ask("q", options);
  EXPECT_EQ(tokenizer.decode(result.prompt_ids, false),
            "<u>Two people talk.<e><u>Hi<e><a>Arr!\n\nAhoy.<e><u>q<e><a>");
  ASSERT_EQ(session.messages().size(), 3u);  // the examples are no part of the conversation
  session.reset();
  EXPECT_EQ(tokenizer.decode(session.ask("r", options).prompt_ids, false),
            "<u>Two people talk.<e><u>Hi<e><a>Arr!\n\nAhoy.<e><u>r<e><a>");
}

TEST(Preset, ABaseModelGetsADialogueAsPlainText) {
  FakeModel model;
  model.positions = 400;
  FakeTokenizer tokenizer;
  tokenizer.chat_template.clear();
  ChatSession session(model, tokenizer, "fake");
  GenerateOptions options;
  options.sampling.temperature = 0;
  try {
    session.ask("q", options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("--preset"), std::string::npos) << error.what();
  }
  session.use(parse_preset(kPirate, "pirate"));
  const std::string start =
      "Two people talk.\n\n-----\n\nMate: Hi\n\nPirate: Arr!\n\nAhoy.\n\n-----\n\n";
  const std::string prompt = start + "Mate: q\n\nPirate:";
  // The fake model's answer counts from the text's first id.
  model.answer = std::string(prompt.size() - 1, '?') + " \nAye.\n\n-----\n\nMate: more";
  std::string streamed;
  const GenerateResult result = session.ask("q", options, [&](const StreamPiece& piece) {
    streamed += piece.text;
    return true;
  });
  EXPECT_EQ(tokenizer.decode(result.prompt_ids, false), prompt);
  EXPECT_EQ(result.finish_reason, "stop");
  EXPECT_EQ(result.text, "Aye.");
  EXPECT_EQ(streamed, "Aye.\n");
  EXPECT_EQ(tokenizer.decode(session.ask("r", options).prompt_ids, false),
            start + "Mate: q\n\nPirate: Aye.\n\n-----\n\nMate: r\n\nPirate:");
  // The next speaker's marker ends an answer, too.
  session.reset();
  model.answer = std::string(prompt.size() - 1, '?') + " Nay.\nMate: more";
  EXPECT_EQ(session.ask("q", options).text, "Nay.");
}

TEST(Preset, ASystemTextAloneMakesADialogueToo) {
  FakeModel model;
  model.positions = 200;
  FakeTokenizer tokenizer;
  tokenizer.chat_template.clear();
  ChatSession session(model, tokenizer, "fake");
  session.set_system("S.");
  GenerateOptions options;
  options.max_tokens = 1;
  EXPECT_EQ(tokenizer.decode(session.ask("q", options).prompt_ids, false),
            "S.\n\n-----\n\nHuman: q\n\nAssistant:");
}

TEST(Preset, FullWidthMarkersNeedNoSpace) {
  FakeTokenizer tokenizer;
  const DialogueMarkers markers{"用户：", "助手："};
  EXPECT_EQ(tokenizer.decode(dialogue_prompt_ids({{"user", "好"}}, tokenizer, markers), false),
            "用户：好\n\n助手：");
  EXPECT_EQ(dialogue_stops(markers), (std::vector<std::string>{"\n用户：", "\n-----"}));
}

}  // namespace
}  // namespace sumi::generate

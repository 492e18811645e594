#include "generate/chat_session.h"

#include <gtest/gtest.h>

#include "generate/fake_model.h"

namespace sumi::generate {
namespace {

GenerateOptions greedy() {
  GenerateOptions options;
  options.sampling.temperature = 0;
  return options;
}

TEST(ChatSession, AnswersAndReusesWhatItProcessed) {
  FakeModel model;
  model.answer = "yes";
  FakeTokenizer tokenizer;
  ChatSession session(model, tokenizer, "fake");
  GenerateResult result = session.ask("hi", greedy());
  EXPECT_EQ(result.text, "yes");
  EXPECT_EQ(result.prompt_ids, (std::vector<int32_t>{kUser, 'h', 'i', kEnd, kAssistant}));
  result = session.ask("go", greedy());
  // <u>hi<e><a>yes was processed before; <e><u>go<e><a> is new.
  EXPECT_EQ(result.timings.cached_tokens, 8);
  EXPECT_EQ(result.timings.prompt_tokens, 14);
  ASSERT_EQ(session.messages().size(), 4u);
  EXPECT_EQ(session.messages()[3].role, "assistant");
  EXPECT_EQ(session.messages()[3].content, "yes");
}

TEST(ChatSession, SystemTextComesFirstAndSurvivesReset) {
  FakeModel model;
  FakeTokenizer tokenizer;
  ChatSession session(model, tokenizer, "fake");
  session.ask("a", greedy());
  session.set_system("S");
  EXPECT_EQ(session.messages()[0].content, "S");
  session.set_system("T");
  EXPECT_EQ(session.messages().size(), 3u);
  session.reset();
  ASSERT_EQ(session.messages().size(), 1u);
  EXPECT_EQ(session.system(), "T");
  session.set_system("");
  EXPECT_TRUE(session.messages().empty());
}

TEST(ChatSession, DropsTheOldestTurnsWhenFull) {
  FakeModel model;
  model.positions = 32;
  FakeTokenizer tokenizer;
  ChatSession session(model, tokenizer, "fake");
  session.set_system("sys");
  int64_t dropped = 0;
  for (int turn = 0; turn < 10; ++turn) {
    const GenerateResult result = session.ask("q" + std::to_string(turn), greedy(), {},
                                              [&](int64_t pairs) { dropped += pairs; });
    EXPECT_EQ(result.text, "ok");
  }
  EXPECT_GT(dropped, 0);
  EXPECT_EQ(session.system(), "sys");
  EXPECT_EQ(static_cast<int64_t>(session.messages().size()), 1 + 2 * (10 - dropped));
  EXPECT_EQ(session.messages()[1].role, "user");
}

TEST(ChatSession, AQuestionTooLongIsAnErrorThatChangesNothing) {
  FakeModel model;
  model.positions = 32;
  FakeTokenizer tokenizer;
  ChatSession session(model, tokenizer, "fake");
  session.ask("a", greedy());
  EXPECT_THROW(session.ask(std::string(40, 'x'), greedy()), Error);
  EXPECT_EQ(session.messages().size(), 2u);
  EXPECT_EQ(session.ask("b", greedy()).text, "ok");
}

TEST(ChatSession, MaxTokensBeyondTheRoomIsCut) {
  FakeModel model;
  model.positions = 16;
  model.answer = std::string(99, 'x');
  FakeTokenizer tokenizer;
  ChatSession session(model, tokenizer, "fake");
  GenerateOptions options = greedy();
  options.max_tokens = 1000;
  const GenerateResult result = session.ask("a", options);
  EXPECT_EQ(result.finish_reason, "length");
  EXPECT_EQ(result.ids.size(), 12u);
}

TEST(ChatSession, ACancelledAnswerStaysAsFarAsItWent) {
  FakeModel model;
  model.answer = "abc";
  FakeTokenizer tokenizer;
  ChatSession session(model, tokenizer, "fake");
  session.ask("q", greedy(), [](const StreamPiece&) { return false; });
  ASSERT_EQ(session.messages().size(), 2u);
  EXPECT_EQ(session.messages()[1].content, "a");
  std::atomic<bool> cancel = true;
  GenerateOptions options = greedy();
  options.cancel = &cancel;
  session.ask("r", options);
  EXPECT_EQ(session.messages().size(), 2u);
}

TEST(ChatSession, SavesAndLoads) {
  FakeModel model;
  FakeTokenizer tokenizer;
  ChatSession session(model, tokenizer, "fake");
  session.set_system("S");
  session.ask("q", greedy());
  const nlohmann::ordered_json saved = session.to_json();
  ChatSession other(model, tokenizer, "fake");
  other.load(saved);
  EXPECT_EQ(other.to_json(), saved);
  other.load(saved["messages"]);
  EXPECT_EQ(other.messages().size(), 3u);
  for (const char* wrong :
       {"1", "{}", "[1]", R"([{"role":"user"}])", R"([{"role":"king","content":"x"}])",
        R"([{"role":"user","content":1}])"})
    EXPECT_THROW(other.load(nlohmann::ordered_json::parse(wrong)), Error) << wrong;
  EXPECT_EQ(other.messages().size(), 3u);
}

TEST(ChatSession, NeedsATemplate) {
  FakeModel model;
  FakeTokenizer tokenizer;
  tokenizer.chat_template.clear();
  EXPECT_THROW(ChatSession(model, tokenizer, "fake").check_ready(), Error);
  tokenizer.chat_template = "{{ raise_exception('no, ' + messages[0].content) }}";
  ChatSession session(model, tokenizer, "fake");
  EXPECT_THROW(session.ask("q", greedy()), Error);
  EXPECT_TRUE(session.messages().empty());
}

}  // namespace
}  // namespace sumi::generate

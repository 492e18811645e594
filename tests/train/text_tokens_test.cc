// Rows, masks, cutting, packing and OpenAssistant's trees.
#include "train/text_tokens.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "cli/command.h"
#include "ops/loss.h"
#include "train/oasst.h"

namespace sumi::train {
namespace {

template <class Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// One token a byte; </s> is special.
class Tokens : public testing::Test {
 protected:
  Tokens() : tokenizer_(text::open_tokenizer(folder_.path())) {}

  std::string learned_text(const TrainingText& text) const {
    std::string out;
    for (size_t i = 0; i < text.ids.size(); ++i)
      if (text.learned[i]) out += tokenizer_->decode(std::span(&text.ids[i], 1), false);
    return out;
  }
  TrainingText chat(const std::vector<generate::ChatMessage>& messages,
                    const std::string& format) const {
    const text::ChatTemplate chat_template(format, "format");
    return tokenize_row({TextRow::Kind::messages, messages, "", "", 1}, *tokenizer_, &chat_template);
  }

  cli::ModelFolder folder_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
};

const std::vector<generate::ChatMessage> kDialogue = {
    {"system", "Be brief."}, {"user", "Hi?"},  {"assistant", "Hello."},
    {"user", "And?"},        {"assistant", "Bye."}};

TEST_F(Tokens, OfMessagesTheAssistantsTurnsAreLearned) {
  EXPECT_EQ(learned_text(chat(kDialogue, cli::ModelFolder::kTemplate)), "Hello.</s>Bye.</s>");
  // A newline after the end of a turn is the template's.
  const std::string lines =
      "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}</s>\n{% endfor %}"
      "{% if add_generation_prompt %}a:{% endif %}";
  EXPECT_EQ(learned_text(chat(kDialogue, lines)), "Hello.</s>Bye.</s>");
  // A template that writes the end of the last turn alone, and trims.
  const std::string last_end =
      "{% for m in messages %}[{{ m.role[0] }}]{{ m.content | trim }}"
      "{% if loop.last and not add_generation_prompt %}</s>{% endif %}{% endfor %}"
      "{% if add_generation_prompt %}[a]{% endif %}";
  EXPECT_EQ(learned_text(chat(kDialogue, last_end)), "Hello.Bye.</s>");
  // The same text in a user's turn is not learned.
  EXPECT_EQ(learned_text(chat({{"user", "Hello."}, {"assistant", "Hello."}},
                              cli::ModelFolder::kTemplate)),
            "Hello.</s>");
  const std::string hidden = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}"
                             "{% endif %}{% endfor %}";
  EXPECT_NE(error_of([&] { chat(kDialogue, hidden); }).find("line 1: message 2"),
            std::string::npos);
}

TEST_F(Tokens, OfAPromptTheCompletionIsLearned) {
  const TrainingText text =
      tokenize_row({TextRow::Kind::prompt, {}, "2+2=", "4", 1}, *tokenizer_, nullptr);
  EXPECT_EQ(learned_text(text), "4</s>");
  const TrainingText plain =
      tokenize_row({TextRow::Kind::text, {}, "", "abc", 1}, *tokenizer_, nullptr);
  EXPECT_EQ(learned_text(plain), "abc</s>");
  EXPECT_EQ(plain.targets(), 3);  // nothing predicts the first token
}

// Whatever the length of the pieces, each token that is learned is a target once and no other is.
TEST_F(Tokens, CuttingKeepsEveryTargetAndAddsNone) {
  const TrainingText whole = chat(kDialogue, cli::ModelFolder::kTemplate);
  for (int64_t length = 2; length < 60; ++length) {
    std::string targets;
    for (const TrainingText& piece : cut(whole, length)) {
      EXPECT_LE(static_cast<int64_t>(piece.ids.size()), length);
      EXPECT_GT(piece.targets(), 0);
      const models::TextBatch batch = join({&piece});
      for (int64_t t = 0; t < batch.targets.numel(); ++t) {
        const int32_t target = batch.targets.data<int32_t>()[t];
        if (target == ops::kIgnoreIndex) continue;
        EXPECT_EQ(target, piece.ids[static_cast<size_t>(t) + 1]);
        targets += tokenizer_->decode(std::span(&target, 1), false);
      }
    }
    EXPECT_EQ(targets, "Hello.</s>Bye.</s>") << length;
  }
}

// Labels worked out by hand: a token at the edge of two pieces is the last target of the one and only read by the
// other; pieces with nothing to learn are left out.
TEST_F(Tokens, LabelsAtTheEdgesOfPiecesAndOfPackedDialogues) {
  const TrainingText dialogue =
      chat({{"user", "Q?"}, {"assistant", "OK"}},
           "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}</s>{% endfor %}"
           "{% if add_generation_prompt %}a:{% endif %}");
  const auto shown = [&](const Tensor& ids) {  // '$': the end of a turn, '.': nothing to learn
    std::string out;
    for (const int32_t id : std::span(ids.data<int32_t>(), static_cast<size_t>(ids.numel())))
      out += id == ops::kIgnoreIndex ? "." : id == tokenizer_->eos_id ? "$" : tokenizer_->decode(std::span(&id, 1), false);
    return out;
  };
  ASSERT_EQ(shown(join({&dialogue}).ids), "u:Q?$a:OK$");
  EXPECT_EQ(shown(join({&dialogue}).targets), "......OK$.");
  struct Pieces {
    int64_t length;
    std::vector<std::pair<std::string, std::string>> tokens_and_labels;
  };
  const std::vector<Pieces> cases = {
      {10, {{"u:Q?$a:OK$", "......OK$."}}},
      {9, {{"u:Q?$a:OK", "......OK."}, {"K$", "$."}}},         // the end of the turn in the next piece
      {8, {{"u:Q?$a:O", "......O."}, {"OK$", "K$."}}},         // within the turn
      {7, {{":OK$", "OK$."}}},                                 // right before the turn: nothing in the first
      {6, {{"a:OK$", ".OK$."}}},                               // before the turn's beginning
      {4, {{":OK$", "OK$."}}},
      {3, {{":OK", "OK."}, {"K$", "$."}}},
      {2, {{":O", "O."}, {"OK", "K."}, {"K$", "$."}}},
  };
  for (const auto& [length, expected] : cases) {
    std::vector<std::pair<std::string, std::string>> found;
    for (const TrainingText& piece : cut(dialogue, length)) {
      const models::TextBatch batch = join({&piece});
      found.emplace_back(shown(batch.ids), shown(batch.targets));
    }
    EXPECT_EQ(found, expected) << length;
  }
  // A dialogue cut in the middle, packed with a whole one: the last token of each predicts nothing.
  std::vector<TrainingText> texts = cut(dialogue, 8);
  texts.push_back(dialogue);
  const auto groups = pack(texts, 11);
  ASSERT_EQ(groups, (std::vector<std::vector<int64_t>>{{2}, {0, 1}}));
  const models::TextBatch batch = join({&texts[2], &texts[0], &texts[1]});
  EXPECT_EQ(shown(batch.ids), "u:Q?$a:OK$u:Q?$a:OOK$");
  EXPECT_EQ(shown(batch.targets), "......OK$.......O.K$.");
  EXPECT_EQ(batch.first_keys.data<int32_t>()[17], 10);
  EXPECT_EQ(batch.first_keys.data<int32_t>()[18], 18);
  EXPECT_EQ(batch.positions.data<int32_t>()[18], 0);
}

TEST(Pack, GroupsHoldEveryTextOnceAndFillUp) {
  std::vector<TrainingText> texts;
  for (const int64_t length : {5, 3, 9, 1, 7, 2, 10, 4})
    texts.push_back({std::vector<int32_t>(static_cast<size_t>(length), 1),
                     std::vector<bool>(static_cast<size_t>(length), true)});
  const auto groups = pack(texts, 10);
  std::vector<int64_t> seen;
  for (const auto& group : groups) {
    size_t total = 0;
    for (const int64_t i : group) {
      total += texts[static_cast<size_t>(i)].ids.size();
      seen.push_back(i);
    }
    EXPECT_LE(total, 10u);
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(groups.size(), 5u);  // 41 tokens cannot do with four
  EXPECT_NE(error_of([&] { pack(texts, 9); }).find("10 tokens"), std::string::npos);
}

TEST(Join, TextsKeepTheirPositionsAndTheirTargets) {
  const TrainingText a{{5, 6, 7}, {false, true, true}}, b{{8, 9}, {true, false}};
  const models::TextBatch batch = join({&a, &b});
  const auto values = [](const Tensor& x) {
    return std::vector<int32_t>(x.data<int32_t>(), x.data<int32_t>() + x.numel());
  };
  EXPECT_EQ(values(batch.ids), (std::vector<int32_t>{5, 6, 7, 8, 9}));
  EXPECT_EQ(values(batch.targets), (std::vector<int32_t>{6, 7, -100, -100, -100}));
  EXPECT_EQ(values(batch.positions), (std::vector<int32_t>{0, 1, 2, 0, 1}));
  EXPECT_EQ(values(batch.first_keys), (std::vector<int32_t>{0, 0, 0, 3, 3}));
}

struct BadRows {
  const char *text, *part;
};

class BadRow : public testing::TestWithParam<BadRows> {};

TEST_P(BadRow, NamesTheLine) {
  const cli::Folder folder;
  cli::spill(folder / "d.jsonl", GetParam().text);
  const std::string message = error_of([&] { read_text_rows(folder / "d.jsonl"); });
  EXPECT_NE(message.find(GetParam().part), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(
    All, BadRow,
    testing::Values(BadRows{"", "there are no examples"},
                    BadRows{"{\"text\": \"a\"}\n{\"instruction\": 1}\n",
                            "line 2: expected the columns messages, prompt and completion, or text; "
                            "found instruction"},
                    BadRows{"{\"text\": \"a\"}\n\n{\"prompt\": \"b\", \"completion\": \"c\"}\n",
                            "line 3: has prompt and completion"},
                    BadRows{"{\"text\": 1}\n", "line 1"}, BadRows{"[1]\n", "expected an object"},
                    BadRows{"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}\n",
                            "no assistant's turn"},
                    BadRows{"{\"messages\": [{\"role\": \"bot\", \"content\": \"x\"}]}\n",
                            "message 0: role"},
                    BadRows{"{\"text\": \"a\"\n", "line 1"}));

TEST(Oasst, TreesAndMessagesBecomeTheSameDialogues) {
  const cli::Folder folder;
  const std::string tree =
      R"({"prompt":{"text":"q","role":"prompter","lang":"en","replies":[)"
      R"({"text":"worse","role":"assistant","rank":1,"replies":[]},)"
      R"({"text":"best","role":"assistant","rank":0,"replies":[)"
      R"({"text":"unanswered","role":"prompter","replies":[]},)"
      R"({"text":"more?","role":"prompter","replies":[{"text":"yes","role":"assistant"},)"
      R"({"text":"spam","role":"assistant","deleted":true}]}]}]}})";
  const std::string other =
      R"({"prompt":{"text":"frage","role":"prompter","lang":"de","replies":[{"text":"ja","role":"assistant"}]}})";
  cli::spill(folder / "trees", tree + "\n" + other + "\n");
  cli::spill(folder / "messages",
             R"({"message_id":"1","text":"q","role":"prompter","lang":"en"})"
             "\n"
             R"({"message_id":"2","parent_id":"1","text":"worse","role":"assistant","rank":1})"
             "\n"
             R"({"message_id":"3","parent_id":"1","text":"best","role":"assistant","rank":0})"
             "\n"
             R"({"message_id":"4","parent_id":"3","text":"more?","role":"prompter"})"
             "\n"
             R"({"message_id":"5","parent_id":"4","text":"yes","role":"assistant"})"
             "\n");
  const auto count = flatten_oasst(folder / "trees", folder / "out", {.language = "en"});
  EXPECT_EQ(count.dialogues, 2);
  const std::vector<TextRow> rows = read_text_rows(folder / "out");
  ASSERT_EQ(rows.size(), 2u);
  ASSERT_EQ(rows[0].messages.size(), 4u);
  EXPECT_EQ(rows[0].messages[1].content, "best");
  EXPECT_EQ(rows[0].messages[3].content, "yes");
  EXPECT_EQ(rows[1].messages[1].content, "worse");
  flatten_oasst(folder / "messages", folder / "out2", {.language = "en"});
  EXPECT_EQ(cli::slurp(folder / "out2"), cli::slurp(folder / "out"));
  flatten_oasst(folder / "trees", folder / "out", {.language = "", .best_only = true});
  EXPECT_EQ(read_text_rows(folder / "out").size(), 2u);  // one English, one German
  cli::spill(folder / "bad", R"({"message_id":"2","parent_id":"1","text":"x","role":"assistant"})");
  EXPECT_NE(error_of([&] { flatten_oasst(folder / "bad", folder / "out", {}); }).find("parent_id 1"),
            std::string::npos);
}

}  // namespace
}  // namespace sumi::train

#include "text/stop.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace sumi::text {
namespace {

struct Outcome {
  std::string text, matched;
  bool operator==(const Outcome& other) const {
    return text == other.text && matched == other.matched;
  }
};

Outcome run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(stops);
  Outcome outcome;
  for (const std::string& piece : pieces) outcome.text += matcher.add(piece);
  outcome.text += matcher.finish();
  outcome.matched = matcher.matched();
  return outcome;
}

TEST(StopMatcher, FindsAcrossPieces) {
  EXPECT_EQ(run({"END"}, {"one E", "N", "D two"}), (Outcome{"one ", "END"}));
  EXPECT_EQ(run({"END"}, {"one EN", "E"}), (Outcome{"one ENE", ""}));
  EXPECT_EQ(run({"\n\n"}, {"a\n", "b\n", "\nc"}), (Outcome{"a\nb", "\n\n"}));
}

TEST(StopMatcher, HoldsBackOnlyWhatMayStillMatch) {
  StopMatcher matcher({"STOP", "TO"});
  EXPECT_EQ(matcher.add("abcS"), "abc");
  EXPECT_EQ(matcher.add("x"), "Sx");
  EXPECT_EQ(matcher.add("yST"), "y");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(matcher.finish(), "ST");
}

TEST(StopMatcher, OutcomeDoesNotDependOnTheCuts) {
  const std::string text = "xaabcabcdaab";
  for (const std::vector<std::string>& stops : {std::vector<std::string>{"abcd", "bc"},
                                                {"aabca", "bcab"},
                                                {"caa", "daab"},
                                                {"cd", "abcd"}}) {
    const Outcome whole = run(stops, {text});
    EXPECT_FALSE(whole.matched.empty());
    for (unsigned cuts = 0; cuts < (1u << (text.size() - 1)); ++cuts) {
      std::vector<std::string> pieces(1);
      for (size_t i = 0; i < text.size(); ++i) {
        pieces.back() += text[i];
        if (cuts >> i & 1) pieces.emplace_back();
      }
      ASSERT_EQ(run(stops, pieces), whole);
    }
  }
}

TEST(StopMatcher, FirstCompleteThenLongest) {
  EXPECT_EQ(run({"abcd", "bc"}, {"abcd"}), (Outcome{"a", "bc"}));
  EXPECT_EQ(run({"cd", "abcd"}, {"xabcd"}), (Outcome{"x", "abcd"}));
}

TEST(StopMatcher, NothingAfterAMatch) {
  StopMatcher matcher({"."});
  EXPECT_EQ(matcher.add("a.b"), "a");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.add("c"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, RefusesAnEmptyString) { EXPECT_THROW(StopMatcher({"a", ""}), Error); }

}  // namespace
}  // namespace sumi::text

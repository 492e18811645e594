#include "generate/generator.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "generate/fake_model.h"
#include "models/language/open.h"

namespace sumi::generate {
namespace {

const std::vector<int32_t> kPrompt = {kAssistant};

GenerateOptions greedy() {
  GenerateOptions options;
  options.sampling.temperature = 0;
  return options;
}

struct Streamed {
  std::vector<std::string> pieces;
  std::string text;
  StreamCallback callback() {
    return [this](const StreamPiece& piece) {
      pieces.emplace_back(piece.text);
      text += piece.text;
      return true;
    };
  }
};

TEST(Generator, StopsAtTheEndOfText) {
  FakeModel model;
  FakeTokenizer tokenizer;
  Streamed streamed;
  const GenerateResult result =
      Generator(model, &tokenizer).generate(kPrompt, greedy(), streamed.callback());
  EXPECT_EQ(result.ids, (std::vector<int32_t>{'o', 'k', kEnd}));
  EXPECT_EQ(result.prompt_ids, kPrompt);
  EXPECT_EQ(result.text, "ok");
  EXPECT_EQ(streamed.text, "ok");
  EXPECT_EQ(result.finish_reason, "stop");
  EXPECT_EQ(result.timings.decoded_tokens, 2);
  EXPECT_EQ(model.calls, (std::vector<int64_t>{1, 1, 1}));  // no step after the last token
}

TEST(Generator, MaxTokensAndIgnoreEos) {
  FakeModel model;
  FakeTokenizer tokenizer;
  GenerateOptions options = greedy();
  options.max_tokens = 1;
  GenerateResult result = Generator(model, &tokenizer).generate(kPrompt, options);
  EXPECT_EQ(result.text, "o");
  EXPECT_EQ(result.finish_reason, "length");
  options.max_tokens = 5;
  options.ignore_eos = true;
  result = Generator(model, &tokenizer).generate(kPrompt, options);
  EXPECT_EQ(result.ids, (std::vector<int32_t>{'o', 'k', kEnd, kEnd, kEnd}));
  EXPECT_EQ(result.text, "ok");
  options.skip_special = false;
  EXPECT_EQ(Generator(model, &tokenizer).generate(kPrompt, options).text, "ok<e><e><e>");
  options.stop_ids = {kEnd};  // asked for by name: counts all the same
  EXPECT_EQ(Generator(model, &tokenizer).generate(kPrompt, options).ids.size(), 3u);
}

TEST(Generator, FillsTheContextAndNoMore) {
  FakeModel model;
  model.positions = 8;
  model.answer = std::string(100, 'x');
  FakeTokenizer tokenizer;
  const GenerateResult result = Generator(model, &tokenizer).generate(kPrompt, greedy());
  EXPECT_EQ(result.ids.size(), 7u);
  EXPECT_EQ(result.finish_reason, "length");
}

TEST(Generator, StopStringsAcrossTokens) {
  FakeModel model;
  model.answer = "one EN two END three";
  FakeTokenizer tokenizer;
  GenerateOptions options = greedy();
  options.stop = {"END"};
  Streamed streamed;
  const GenerateResult result =
      Generator(model, &tokenizer).generate(kPrompt, options, streamed.callback());
  EXPECT_EQ(result.text, "one EN two ");
  EXPECT_EQ(streamed.text, result.text);
  EXPECT_EQ(result.finish_reason, "stop");
  EXPECT_EQ(result.ids.size(), 14u);  // up to the D
  options.stop = {"three!"};
  EXPECT_EQ(Generator(model, &tokenizer).generate(kPrompt, options).text, model.answer);
}

TEST(Generator, NeverStreamsHalfACharacter) {
  FakeModel model;
  model.answer = "a\xf0\x9f\x98\x80\xc3\xa9\xe2\x82";  // the last one is cut short
  FakeTokenizer tokenizer;
  Streamed streamed;
  const GenerateResult result =
      Generator(model, &tokenizer).generate(kPrompt, greedy(), streamed.callback());
  EXPECT_EQ(result.text, "a\xf0\x9f\x98\x80\xc3\xa9\xef\xbf\xbd");
  EXPECT_EQ(streamed.text, result.text);
  for (const std::string& piece : streamed.pieces)
    EXPECT_TRUE(piece.empty() || piece == "a" || piece == "\xf0\x9f\x98\x80" ||
                piece == "\xc3\xa9" || piece == "\xef\xbf\xbd");
}

TEST(Generator, Cancels) {
  FakeModel model;
  model.answer = "abcdef";
  FakeTokenizer tokenizer;
  GenerateResult result =
      Generator(model, &tokenizer).generate(kPrompt, greedy(), [](const StreamPiece& piece) {
        return piece.text != "c";
      });
  EXPECT_EQ(result.text, "abc");
  EXPECT_EQ(result.finish_reason, "cancelled");
  std::atomic<bool> cancel = true;
  GenerateOptions options = greedy();
  options.cancel = &cancel;
  result = Generator(model, &tokenizer).generate(kPrompt, options);
  EXPECT_TRUE(result.ids.empty());
  EXPECT_EQ(result.finish_reason, "cancelled");
}

TEST(Generator, KeepsTheSharedPrefix) {
  FakeModel model;
  FakeTokenizer tokenizer;
  Generator generator(model, &tokenizer);
  generator.generate(std::vector<int32_t>{1, 2, 3, kAssistant}, greedy());
  EXPECT_EQ(generator.cached_ids(), (std::vector<int32_t>{1, 2, 3, kAssistant, 'o', 'k'}));
  model.calls.clear();
  const GenerateResult result =
      generator.generate(std::vector<int32_t>{1, 2, 7, 8, kAssistant}, greedy());
  EXPECT_EQ(result.timings.cached_tokens, 2);
  EXPECT_EQ(model.calls.front(), 3);
  EXPECT_EQ(result.text, "ok");
  model.calls.clear();
  // The same again: the last id is processed anew, for its logits.
  EXPECT_EQ(generator.generate(result.prompt_ids, greedy()).timings.cached_tokens, 4);
  EXPECT_EQ(model.calls.front(), 1);
}

TEST(Generator, ARecurrentStateGoesOnFromTheLastPrompt) {
  FakeModel model;
  model.can_rewind = false;
  FakeTokenizer tokenizer;
  Generator generator(model, &tokenizer);
  const std::vector<int32_t> prompt = {1, 2, 3, kAssistant};
  EXPECT_EQ(generator.generate(prompt, greedy()).text, "ok");
  // The same again, and another turn after another answer.
  GenerateResult result = generator.generate(prompt, greedy());
  EXPECT_EQ(result.timings.cached_tokens, 3);
  EXPECT_EQ(result.text, "ok");
  result = generator.generate(std::vector<int32_t>{1, 2, 3, kAssistant, 'x', kEnd, kUser, kAssistant},
                              greedy());
  EXPECT_EQ(result.timings.cached_tokens, 3);
  EXPECT_EQ(result.text, "ok");
  EXPECT_EQ(generator.generate(std::vector<int32_t>{1, 2, 9, kAssistant}, greedy())
                .timings.cached_tokens,
            0);
}

TEST(Generator, StartsAgainWhenTheStateCannotGoBack) {
  FakeModel model;
  model.can_rewind = false;
  FakeTokenizer tokenizer;
  Generator generator(model, &tokenizer);
  generator.generate(std::vector<int32_t>{1, 2, kAssistant}, greedy());
  GenerateResult result = generator.generate(std::vector<int32_t>{1, 3, kAssistant}, greedy());
  EXPECT_EQ(result.timings.cached_tokens, 0);
  EXPECT_EQ(result.text, "ok");
  // Going on needs no way back.
  std::vector<int32_t> longer = generator.cached_ids();
  longer.push_back(kAssistant);
  EXPECT_EQ(generator.generate(longer, greedy()).timings.cached_tokens, 5);
}

TEST(Generator, RecoversFromAFailedForward) {
  FakeModel model;
  FakeTokenizer tokenizer;
  Generator generator(model, &tokenizer);
  model.throw_at = 4;
  EXPECT_THROW(generator.generate(std::vector<int32_t>{1, 2, kAssistant}, greedy()), Error);
  model.throw_at = -1;
  const GenerateResult result =
      generator.generate(std::vector<int32_t>{1, 2, kAssistant}, greedy());
  EXPECT_EQ(result.timings.cached_tokens, 0);
  EXPECT_EQ(result.text, "ok");
}

TEST(Generator, LongPromptsGoInPieces) {
  FakeModel model;
  model.positions = 4000;
  FakeTokenizer tokenizer;
  std::vector<int32_t> prompt(1200, 65);
  prompt.push_back(kAssistant);
  std::vector<double> progress;
  GenerateOptions options = greedy();
  options.prefill_progress = [&](double fraction) { progress.push_back(fraction); };
  EXPECT_EQ(Generator(model, &tokenizer).generate(prompt, options).text, "ok");
  EXPECT_EQ(model.calls[0] + model.calls[1] + model.calls[2], 1201);
  EXPECT_EQ(progress.size(), 3u);
  EXPECT_EQ(progress.back(), 1);
}

TEST(Generator, LogprobsAreOfTheRawDistribution) {
  FakeModel model;
  FakeTokenizer tokenizer;
  GenerateOptions options = greedy();
  options.logprobs = 2;
  options.sampling.logit_bias = {{'o' + 1, 100.0f}};  // forces 'p' at the first step
  options.max_tokens = 1;
  const GenerateResult result = Generator(model, &tokenizer).generate(kPrompt, options);
  const double log_sum = std::log(std::exp(2) + std::exp(1) + kVocab - 2);
  ASSERT_EQ(result.chosen_logprobs.size(), 1u);
  EXPECT_EQ(result.chosen_logprobs[0].id, 'p');
  EXPECT_NEAR(result.chosen_logprobs[0].logprob, 1 - log_sum, 1e-12);
  ASSERT_EQ(result.best_logprobs[0].size(), 2u);
  EXPECT_EQ(result.best_logprobs[0][0].id, 'o');
  EXPECT_NEAR(result.best_logprobs[0][0].logprob, 2 - log_sum, 1e-12);
}

TEST(Generator, SameSeedSameText) {
  FakeModel model;
  model.answer = "the same text each time";
  FakeTokenizer tokenizer;
  GenerateOptions options;
  options.sampling.temperature = 2;
  options.sampling.seed = 5;
  options.max_tokens = 20;
  options.ignore_eos = true;
  Generator generator(model, &tokenizer);
  const std::vector<int32_t> first = generator.generate(kPrompt, options).ids;
  EXPECT_EQ(generator.generate(kPrompt, options).ids, first);  // from the cache
  EXPECT_EQ(Generator(model, &tokenizer).generate(kPrompt, options).ids, first);
  options.sampling.seed = 6;
  EXPECT_NE(generator.generate(kPrompt, options).ids, first);
}

TEST(Generator, SameSeedSameTextFromAnEncoderDecoder) {
  const models::LanguageModelFiles files =
      models::open_language_model(std::string(SUMI_TEST_DATA) + "/t5/mt5_head");
  const std::vector<int32_t> read = {5, 17, 40, 3, 60, 2, 29}, other = {9, 8, 7};
  GenerateOptions options;
  options.sampling.temperature = 2;
  options.sampling.seed = 5;
  options.max_tokens = 40;
  const auto sampled = [&](Generator& generator, const std::vector<int32_t>& prompt) {
    return generator.generate(prompt, options).ids;
  };
  Generator generator(*files.model, nullptr);
  const std::vector<int32_t> first = sampled(generator, read);
  EXPECT_EQ(first.size(), 40u);
  const std::vector<int32_t> between = sampled(generator, other);
  EXPECT_NE(between, first);
  EXPECT_EQ(sampled(generator, read), first);
  const int threads = base::num_threads();
  base::set_num_threads(threads == 1 ? 2 : 1);
  Generator fresh(*files.model, nullptr);
  EXPECT_EQ(sampled(fresh, read), first);
  EXPECT_EQ(sampled(fresh, other), between);
  base::set_num_threads(threads);
  options.sampling.seed = 6;
  EXPECT_NE(sampled(generator, read), first);
}

TEST(Generator, IdsAloneNeedNoTokenizer) {
  FakeModel model;
  GenerateOptions options = greedy();
  options.max_tokens = 4;
  const GenerateResult result = Generator(model, nullptr).generate(kPrompt, options);
  EXPECT_EQ(result.ids, (std::vector<int32_t>{'o', 'k', kEnd, kEnd}));
  EXPECT_EQ(result.text, "");
  options.stop = {"x"};
  EXPECT_THROW(Generator(model, nullptr).generate(kPrompt, options), Error);
}

TEST(Generator, WrongRequestsAreErrorsBeforeAnyWork) {
  FakeModel model;
  model.positions = 10;
  FakeTokenizer tokenizer;
  Generator generator(model, &tokenizer);
  const auto refuse = [&](std::vector<int32_t> prompt, auto change) {
    GenerateOptions options = greedy();
    change(options);
    EXPECT_THROW(generator.generate(prompt, options), Error);
  };
  const auto as_is = [](GenerateOptions&) {};
  refuse({}, as_is);
  refuse({-1}, as_is);
  refuse({kVocab}, as_is);
  refuse(std::vector<int32_t>(10, 1), as_is);
  refuse(std::vector<int32_t>(100, 1), as_is);
  refuse({1}, [](GenerateOptions& o) { o.max_tokens = 10; });
  refuse({1}, [](GenerateOptions& o) { o.max_tokens = -1; });
  refuse({1}, [](GenerateOptions& o) { o.logprobs = kVocab + 1; });
  refuse({1}, [](GenerateOptions& o) { o.stop_ids = {kVocab}; });
  refuse({1}, [](GenerateOptions& o) { o.stop = {""}; });
  refuse({1}, [](GenerateOptions& o) { o.sampling.top_p = 2; });
  EXPECT_TRUE(model.calls.empty());
}

}  // namespace
}  // namespace sumi::generate

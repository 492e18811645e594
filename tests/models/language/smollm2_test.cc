// The default model, if SUMI_MODEL names its file: the same bits however it is computed, on each
// instruction set.
#include <cstdlib>

#include "base/cpu.h"
#include "base/threads.h"
#include "reference.h"

namespace sumi::models {
namespace {

const char* model_file() { return std::getenv("SUMI_MODEL"); }

// All logits of a prompt, then of tokens chosen greedily.
struct Answer {
  Tensor prompt;
  std::vector<Tensor> steps;
  std::vector<int32_t> ids;
};

Answer answer(const LanguageModel& model, const std::vector<int32_t>& prompt, size_t piece,
              int threads) {
  base::set_num_threads(threads);
  const auto state = model.new_state();
  const int64_t count = static_cast<int64_t>(prompt.size()), vocab = model.vocab_size();
  Answer result;
  result.prompt = Tensor::empty({count, vocab});
  for (size_t at = 0; at < prompt.size(); at += piece) {
    const size_t n = std::min(piece, prompt.size() - at);
    const Tensor logits = model.forward({prompt.data() + at, n}, *state, LogitsFor::all);
    std::memcpy(result.prompt.f32() + static_cast<int64_t>(at) * vocab, logits.f32(),
                static_cast<size_t>(logits.nbytes()));
  }
  const float* last = result.prompt.f32() + (count - 1) * vocab;
  for (int step = 0; step < 6; ++step) {
    result.ids.push_back(static_cast<int32_t>(std::max_element(last, last + vocab) - last));
    result.steps.push_back(model.forward({&result.ids.back(), 1}, *state, LogitsFor::last));
    last = result.steps.back().f32();
  }
  return result;
}

TEST(SmolLM2, SameBitsHoweverItIsComputed) {
  if (!model_file()) GTEST_SKIP() << "SUMI_MODEL is not set";
  const LanguageModelFiles files = open_language_model(model_file());
  const LanguageModel& model = *files.model;
  // The plain kernels are slow: fewer tokens. Elsewhere the prompt reaches into the cache's second
  // page.
  const size_t count = base::active_isa() == base::Isa::scalar ? 15 : 71;
  std::vector<int32_t> prompt(count);
  for (size_t i = 0; i < count; ++i) prompt[i] = static_cast<int32_t>((i * 7919 + 13) % 49000);
  const int before = base::num_threads();
  const Answer whole = answer(model, prompt, count, 1);
  for (const int threads : {1, 2})
    for (const size_t piece : {count, size_t{7}, size_t{1}}) {
      if (threads == 1 && piece == count) continue;
      const Answer other = answer(model, prompt, piece, threads);
      SCOPED_TRACE(std::to_string(threads) + " threads, pieces of " + std::to_string(piece));
      EXPECT_TRUE(same_bits(whole.prompt, other.prompt));
      EXPECT_EQ(whole.ids, other.ids);
      for (size_t i = 0; i < whole.steps.size(); ++i)
        EXPECT_TRUE(same_bits(whole.steps[i], other.steps[i])) << "token " << i;
    }
  base::set_num_threads(before);
}

// The level is fixed when it is first asked for, so each needs a process of its own.
TEST(SmolLM2, SameBitsOnEachInstructionSet) {
  if (!model_file()) GTEST_SKIP() << "SUMI_MODEL is not set";
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  for (const base::Isa isa : base::runnable_isas()) {
    const std::string command =
        "SUMI_ISA=" + std::string(base::isa_name(isa)) + " '" + self +
        "' --gtest_filter=SmolLM2.SameBitsHoweverItIsComputed 2>&1 >/dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0) << base::isa_name(isa);
  }
}

}  // namespace
}  // namespace sumi::models

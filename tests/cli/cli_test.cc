#include <gtest/gtest.h>

#include <cmath>

#include "cli/command.h"
#include "formats/safetensors.h"

namespace sumi::cli {
namespace {

const std::string kLlama = std::string(SUMI_TEST_DATA) + "/language/llama";
const std::string kGguf = std::string(SUMI_TEST_DATA) + "/language/gguf_llama_q8_0/model.gguf";

std::vector<int32_t> expected_ids(const std::string& name) {
  const Tensor tensor = formats::SafetensorsFile(kLlama + "/expected.safetensors").get(name);
  return {tensor.data<int32_t>(), tensor.data<int32_t>() + tensor.numel()};
}

std::string joined(const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += (text.empty() ? "" : ",") + std::to_string(id);
  return text;
}

std::string greedy_command(const std::string& more = "") {
  return "generate " + kLlama + " --prompt-ids " + joined(expected_ids("prompt_ids")) +
         " --max-tokens 24 --temperature 0 --dtype f32 --ignore-eos " + more;
}

TEST(Cli, Version) {
  const Outcome outcome = run("--version");
  EXPECT_EQ(outcome.code, 0);
  for (const char* part : {"sumi ", "instructions: ", "processor: ", "threads: "})
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part;
  const Outcome wrong = run("--version", "SUMI_ISA=mmx");
  EXPECT_EQ(wrong.code, 1);
  EXPECT_NE(wrong.err.find("SUMI_ISA=mmx"), std::string::npos);
}

// OpenMP prints its settings as it reads them.
TEST(Cli, ThreadsWaitBrieflyUnlessTheUserSaysHow) {
  const std::string unset = "env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT OMP_DISPLAY_ENV=verbose";
  const auto spins = [](const Outcome& outcome) {
    const size_t at = outcome.err.rfind("GOMP_SPINCOUNT = '");
    return at == std::string::npos ? -1 : std::atoi(outcome.err.c_str() + at + 18);
  };
  const Outcome usual = run("--version", unset);
  if (usual.err.find("GOMP_SPINCOUNT") == std::string::npos) GTEST_SKIP() << "not GCC's OpenMP";
  EXPECT_EQ(spins(usual), 1000);
  EXPECT_EQ(spins(run("--version", unset + " GOMP_SPINCOUNT=77")), 77);
  EXPECT_EQ(spins(run("--version", unset + " OMP_WAIT_POLICY=passive")), 0);
}

// An adapter that peft made over a model with pictures (tools/reference/whole_adapter.py).
TEST(Cli, AdapterOfAWholeModelIsOfItsText) {
  const std::string model = std::string(SUMI_TEST_DATA) + "/language/llava_pictures";
  const formats::SafetensorsFile expected(model + "/adapter/expected.safetensors");
  const auto ids = [&](const char* name) {
    const Tensor tensor = expected.get(name);
    return joined({tensor.data<int32_t>(), tensor.data<int32_t>() + tensor.numel()});
  };
  const std::string ask = " --prompt-ids " + ids("prompt_ids") +
                          " --max-tokens 12 --temperature 0 --dtype f32 --ignore-eos";
  const Outcome adapted = run("generate " + model + " --adapter " + model + "/adapter" + ask);
  EXPECT_EQ(adapted.out, ids("greedy_ids") + "\n") << adapted.err;
  EXPECT_NE(run("generate " + model + ask).out, adapted.out);
}

TEST(Cli, EveryVerbHasHelpWithExamples) {
  for (const char* verb : {"", "chat", "generate", "tokenize", "inspect", "perplexity", "image", "bench"}) {
    const Outcome outcome = run(std::string(verb) + " --help");
    EXPECT_EQ(outcome.code, 0);
    EXPECT_NE(outcome.out.find("Examples:\n  sumi "), std::string::npos) << verb;
    EXPECT_EQ(outcome.err, "");
  }
}

TEST(Cli, WrongUsageIsTwo) {
  for (const std::string& arguments : {std::string(),
                                       std::string("frobnicate"),
                                       std::string("generate"),
                                       "generate " + kLlama,
                                       "generate " + kLlama + " --prompt a --prompt-ids 1",
                                       "generate " + kLlama + " --prompt-ids 1,x",
                                       "generate " + kLlama + " --prompt-ids ''",
                                       "generate " + kLlama + " --prompt-ids 1 --threads 0",
                                       "generate " + kLlama + " --prompt-ids 1 --threads 99999",
                                       "generate " + kLlama + " --prompt-ids 1 --temperature -1",
                                       "generate " + kLlama + " --prompt-ids 1 --top-p 1.1",
                                       "generate " + kLlama + " --prompt-ids 1 --max-tokens 0",
                                       "generate " + kLlama + " --prompt-ids 1 --dtype f8",
                                       "generate " + kLlama + " --prompt-ids 1 --logit-bias 7",
                                       "generate " + kLlama + " --prompt-ids 1 --logprobs 2",
                                       "generate " + kLlama + " --nonsense",
                                       "tokenize " + kLlama,
                                       "perplexity " + kLlama,
                                       std::string("bench"),
                                       "bench " + kLlama + " --prefill 0 --decode 0"}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_EQ(outcome.err.rfind("sumi: error: ", 0), 0u) << arguments << "\n" << outcome.err;
    EXPECT_EQ(outcome.out, "") << arguments;
  }
}

TEST(Cli, FailuresAreOneAndSayWhatIsWrong) {
  const Folder folder, empty;
  spill(folder / "junk.gguf", "GGUX");
  const std::pair<std::string, const char*> cases[] = {
      {"generate no-such-model --prompt a", "no-such-model"},
      {"inspect no-such-model", "no-such-model"},
      {"inspect " + (folder / "junk.gguf"), "junk.gguf"},
      {"inspect " + empty.path(), empty.path().c_str()},
      {"generate " + kLlama + " --prompt a", "tokenizer"},
      {"generate " + kLlama + " --prompt-ids 131", "131"},
      {"generate " + kLlama + " --prompt-ids 1 --max-tokens 1000000", "max tokens"},
      {"generate " + kLlama + " --prompt-ids 1 --stop x", "tokenizer"},
      {"generate " + kLlama + " --prompt-ids 1 --stop-id 131", "stop id"},
      {"generate " + kLlama + " --prompt-ids 1 --logit-bias 131=1", "logit bias"},
      {"generate " + kLlama + " --prompt-file /bin/bash", "not a text"},
      {"generate " + kLlama + " --prompt-file /", "folder"},
      {"generate " + kLlama + " --prompt-file /no/such", "/no/such"},
      {"perplexity " + kLlama + " --ids 1", "2 tokens"},
      {"perplexity " + kLlama + " --ids 1,2 --context 257", "context"},
      {"perplexity " + kLlama + " --file /dev/null", "empty"},
      {"bench " + kLlama + " --prefill 200 --decode 100", "context"},
      {"chat --prompt hi", "./quickstart"},
      {"chat " + kLlama + " --prompt hi", "tokenizer"},
  };
  for (const auto& [arguments, part] : cases) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 1) << arguments;
    EXPECT_EQ(outcome.err.rfind("sumi: error: ", 0), 0u) << arguments << "\n" << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << arguments << "\n" << outcome.err;
    EXPECT_EQ(outcome.out, "") << arguments;
  }
}

TEST(Cli, GenerateGreedyIdsAreThoseOfTransformers) {
  const Outcome outcome = run(greedy_command("--json --logprobs 3"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const nlohmann::json json = outcome.json();
  EXPECT_EQ(json["ids"].get<std::vector<int32_t>>(), expected_ids("greedy_ids"));
  EXPECT_EQ(json["prompt_ids"].get<std::vector<int32_t>>(), expected_ids("prompt_ids"));
  EXPECT_EQ(json["finish_reason"], "length");
  ASSERT_EQ(json["logprobs"].size(), 24u);
  for (size_t i = 0; i < 24; ++i) {
    ASSERT_EQ(json["logprobs"][i].size(), 3u);
    EXPECT_EQ(json["logprobs"][i][0]["id"], json["ids"][i]);
    EXPECT_EQ(json["logprobs"][i][0]["logprob"], json["token_logprobs"][i]);
    EXPECT_GE(json["logprobs"][i][0]["logprob"], json["logprobs"][i][1]["logprob"]);
    EXPECT_LE(json["logprobs"][i][0]["logprob"], 0);
  }
  for (const char* name : {"load_ms", "prefill_ms", "prefill_tokens_per_second",
                           "decode_tokens_per_second", "first_token_ms"})
    EXPECT_GT(json["timings"][name].get<double>(), 0) << name;
  EXPECT_EQ(json["timings"]["prefill_tokens"], 30);
  EXPECT_EQ(run(greedy_command()).out, joined(expected_ids("greedy_ids")) + "\n");
  EXPECT_EQ(run(greedy_command("--threads 1")).out, joined(expected_ids("greedy_ids")) + "\n");
}

TEST(Cli, SeedsDecide) {
  const std::string command = "generate " + kLlama +
                              " --prompt-ids 1,2,3 --max-tokens 30 --ignore-eos "
                              "--temperature 1.5 --top-k 0 --top-p 1 --seed ";
  const Outcome first = run(command + "1"), again = run(command + "1 --threads 1"),
                other = run(command + "2");
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out, again.out);
  EXPECT_NE(first.out, other.out);
}

TEST(Cli, StopIdsEndAndBiasesBan) {
  const std::vector<int32_t> greedy = expected_ids("greedy_ids");
  const nlohmann::json stopped =
      run(greedy_command("--json --stop-id " + std::to_string(greedy[3]))).json();
  EXPECT_EQ(stopped["ids"].size(), 4u);
  EXPECT_EQ(stopped["finish_reason"], "stop");
  const nlohmann::json banned =
      run(greedy_command("--json --logit-bias " + std::to_string(greedy[0]) + "=-inf")).json();
  EXPECT_NE(banned["ids"][0], greedy[0]);
}

TEST(Cli, GenerateText) {
  const ModelFolder model;
  spill(model / "prompt.txt", "Hello");
  const std::string common = " --temperature 0 --max-tokens 40 --ignore-eos ";
  const nlohmann::json json =
      run("generate " + model.path() + " --prompt Hello --json" + common).json();
  EXPECT_EQ(json["prompt_ids"].get<std::vector<int32_t>>(),
            (std::vector<int32_t>{44, 73, 80, 80, 83}));
  const std::string text = json["text"];
  EXPECT_EQ(run("generate " + model.path() + " --prompt Hello" + common).out, text + "\n");
  EXPECT_EQ(
      run("generate " + model.path() + " --prompt-file " + (model / "prompt.txt") + common).out,
      text + "\n");
  EXPECT_EQ(
      run("generate " + model.path() + " --prompt-file -" + common + " < " + (model / "prompt.txt"))
          .out,
      text + "\n");
  // Stop before some text of the answer.
  size_t at = 3;
  while (at < text.size() && !std::isalnum(static_cast<unsigned char>(text[at]))) ++at;
  ASSERT_LT(at, text.size());
  const nlohmann::json stopped =
      run("generate " + model.path() + " --prompt Hello --json --stop " + text[at] + common).json();
  EXPECT_EQ(stopped["finish_reason"], "stop");
  EXPECT_EQ(stopped["text"], text.substr(0, text.find(text[at])));
  const nlohmann::json chat =
      run("generate " + model.path() + " --chat --prompt Hi --json" + common).json();
  const nlohmann::json tokens = run("tokenize " + model.path() + " 'u:Hi</s>a:' --json").json();
  EXPECT_EQ(chat["prompt_ids"], tokens["ids"]);
}

TEST(Cli, AnEmptyOrTooLongPromptIsAnError) {
  const ModelFolder model;
  EXPECT_EQ(run("generate " + model.path() + " --prompt ''").code, 1);
  spill(model / "long.txt", std::string(300, 'a'));
  const Outcome outcome =
      run("generate " + model.path() + " --prompt-file " + (model / "long.txt"));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("300 tokens"), std::string::npos) << outcome.err;
}

TEST(Cli, TokenizeAndBack) {
  const ModelFolder model;
  const nlohmann::json json = run("tokenize " + model.path() + " 'a b' --json").json();
  EXPECT_EQ(json["ids"].get<std::vector<int>>(), (std::vector<int>{69, 4, 70}));
  EXPECT_EQ(json["tokens"].get<std::vector<std::string>>(),
            (std::vector<std::string>{"a", "\u0120", "b"}));
  EXPECT_EQ(run("tokenize " + model.path() + " 'a b'").out, "69\ta\n4\t\u0120\n70\tb\n");
  EXPECT_EQ(run("tokenize " + model.path() + " --decode 69,4,70").out, "a b\n");
  EXPECT_EQ(run("tokenize " + model.path() + " --decode 69,131").code, 1);
  EXPECT_EQ(run("tokenize " + model.path() + " --file - --json < " + (model / "config.json")).code,
            0);
  EXPECT_EQ(run("tokenize " + model.path() + " ''").out, "");
}

TEST(Cli, InspectReadsHeadersOnly) {
  nlohmann::json json = run("inspect " + kLlama + " --json").json();
  EXPECT_EQ(json["architecture"], "LlamaForCausalLM");
  EXPECT_EQ(json["context_length"], 256);
  EXPECT_EQ(json["vocab_size"], 131);
  EXPECT_EQ(json["parameters"], 25440);
  EXPECT_EQ(json["dtypes"]["f32"]["tensors"], 21);
  EXPECT_TRUE(json["chat_template"].is_null());
  EXPECT_FALSE(json.contains("tensors"));
  const Outcome text = run("inspect " + kGguf + " --tensors");
  EXPECT_EQ(text.code, 0);
  for (const char* part :
       {"GGUF version 3", "llama", "q8_0", "blk.1.ffn_down.weight", "256 tokens"})
    EXPECT_NE(text.out.find(part), std::string::npos) << part;
  // A model of an unknown architecture can be looked at, not run.
  const ModelFolder model;
  nlohmann::json config = nlohmann::json::parse(slurp(model / "config.json"));
  config["architectures"] = {"NoSuchModel"};
  config["model_type"] = "no_such";
  spill(model / "config.json", config.dump());
  json = run("inspect " + model.path() + " --json").json();
  EXPECT_EQ(json["supported"], false);
  EXPECT_NE(json["reason"].get<std::string>().find("NoSuchModel"), std::string::npos);
  EXPECT_EQ(json["chat_template"], ModelFolder::kTemplate);
  EXPECT_EQ(run("generate " + model.path() + " --prompt a").code, 1);
}

TEST(Cli, PerplexityIsThatOfTransformers) {
  const Tensor nll = formats::SafetensorsFile(kLlama + "/expected.safetensors").get("nll");
  const nlohmann::json json =
      run("perplexity " + kLlama + " --dtype f32 --json --ids " + joined(expected_ids("nll_ids")))
          .json();
  EXPECT_NEAR(json["nll"].get<double>(), nll.f32()[0], 1e-4 * nll.f32()[0]);
  EXPECT_NEAR(json["perplexity"].get<double>(), std::exp(json["nll"].get<double>()), 1e-6);
  EXPECT_EQ(json["tokens"], 199);
  const nlohmann::json windows =
      run("perplexity " + kLlama + " --context 64 --json --ids " + joined(expected_ids("nll_ids")))
          .json();
  EXPECT_EQ(windows["tokens"], 196);
  EXPECT_EQ(windows["windows"], 4);
  const ModelFolder model;
  spill(model / "text", "A text of some length.");
  EXPECT_EQ(
      run("perplexity " + model.path() + " --json --file " + (model / "text")).json()["tokens"],
      21);
}

TEST(Cli, Bench) {
  const nlohmann::json json =
      run("bench " + kLlama + " --prefill 16 --decode 4 --repeat 2 --json").json();
  EXPECT_GT(json["prefill"]["tokens_per_second"], 0);
  EXPECT_GT(json["prefill"]["products_per_second"], 0);
  EXPECT_GT(json["decode"]["gigabytes_per_second"], 0);
  EXPECT_EQ(json["decode"]["runs"].size(), 2u);
  EXPECT_GT(json["peak_memory_bytes"], 0);
  const Outcome text = run("bench " + kLlama + " --prefill 16 --decode 0 --repeat 1");
  EXPECT_EQ(text.code, 0);
  EXPECT_NE(text.out.find("prefill"), std::string::npos);
  EXPECT_EQ(text.out.find("decode"), std::string::npos);
}

TEST(Cli, ChatAnswersOnce) {
  const ModelFolder model;
  const std::string common = " --temperature 0 --max-tokens 8";
  const Outcome once = run("chat " + model.path() + " --prompt Hi" + common);
  EXPECT_EQ(once.code, 0) << once.err;
  EXPECT_FALSE(once.out.empty());
  const nlohmann::json same =
      run("generate " + model.path() + " --chat --prompt Hi --json" + common).json();
  EXPECT_EQ(once.out, same["text"].get<std::string>() + "\n");
  EXPECT_NE(run("chat " + model.path() + " --prompt Hi --system Sys" + common).out, once.out);
  EXPECT_EQ(run("chat " + model.path() + " --prompt ''").code, 2);
}

TEST(Cli, ChatThroughAPipe) {
  const ModelFolder model;
  const std::string common = " --temperature 0 --max-tokens 6";
  spill(model / "in", "Hi\n\n/save " + (model / "saved") + "\nMore\n/quit\nnever\n");
  const Outcome outcome = run("chat " + model.path() + common + " < " + (model / "in"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos);
  EXPECT_EQ(outcome.out.find("> "), std::string::npos);
  const std::string first = run("chat " + model.path() + " --prompt Hi" + common).out;
  EXPECT_EQ(outcome.out.substr(0, first.size()), first);
  const nlohmann::json saved = nlohmann::json::parse(slurp(model / "saved"));
  ASSERT_EQ(saved["messages"].size(), 2u);
  EXPECT_EQ(saved["messages"][0]["content"], "Hi");
  EXPECT_EQ(saved["messages"][1]["content"].get<std::string>() + "\n", first);
  // Going on from the saved conversation gives what going on directly gave.
  spill(model / "in", "/load " + (model / "saved") + "\nMore\n");
  EXPECT_EQ(run("chat " + model.path() + common + " < " + (model / "in")).out,
            outcome.out.substr(first.size()));
  spill(model / "in", "/load /no/such/file\n");
  EXPECT_EQ(run("chat " + model.path() + " < " + (model / "in")).code, 1);
}

TEST(Cli, ChatForgetsTheOldestWhenFull) {
  const ModelFolder model;
  std::string lines;
  for (int i = 0; i < 8; ++i) lines += std::string(30, static_cast<char>('a' + i)) + "\n";
  spill(model / "in", lines);
  const Outcome outcome =
      run("chat " + model.path() + " --temperature 0 --max-tokens 30 < " + (model / "in"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("forgotten"), std::string::npos) << outcome.err;
  spill(model / "in", std::string(400, 'a') + "\n");
  const Outcome tooLong = run("chat " + model.path() + " < " + (model / "in"));
  EXPECT_EQ(tooLong.code, 1);
  EXPECT_NE(tooLong.err.find("context"), std::string::npos);
}

TEST(Cli, ChatNeedsATemplate) {
  const ModelFolder model("");
  const Outcome outcome = run("chat " + model.path() + " --prompt Hi");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("chat template"), std::string::npos);
}

TEST(Cli, AClosedOutputEndsQuietly) {
  const Outcome cut = run("inspect " + kLlama + " --tensors | head -c 1");
  EXPECT_EQ(cut.code, 0);
  EXPECT_EQ(cut.out.size(), 1u);
  EXPECT_EQ(cut.err, "");
  const Outcome closed = run("inspect " + kLlama + " >&-");
  EXPECT_EQ(closed.code, 0);
  EXPECT_EQ(closed.err, "");
  const Outcome full = run("inspect " + kLlama + " > /dev/full");
  EXPECT_EQ(full.code, 1);
  EXPECT_NE(full.err.find("standard output"), std::string::npos);
}

}  // namespace
}  // namespace sumi::cli

// Tiny checkpoints of every family and RoPE scaling against transformers.
#include "models/language/decoder.h"

#include <fstream>
#include <set>

#include "base/threads.h"
#include "formats/json.h"
#include "models/language/family.h"
#include "reference.h"

namespace sumi::models {
namespace {

class DecoderCase : public testing::TestWithParam<const char*> {};

std::vector<int32_t> greedy(const LanguageModel& model, const std::vector<int32_t>& prompt,
                            size_t count) {
  const auto state = model.new_state();
  std::vector<int32_t> ids, next = prompt;
  while (true) {
    const Tensor logits = model.forward(next, *state, LogitsFor::last);
    EXPECT_EQ(logits.shape(), (Shape{1, model.vocab_size()}));
    const float* l = logits.f32();
    ids.push_back(static_cast<int32_t>(std::max_element(l, l + logits.numel()) - l));
    if (ids.size() == count) return ids;
    next = {ids.back()};
  }
}

double mean_nll(const Tensor& logits, const std::vector<int32_t>& ids) {
  double sum = 0;
  const int64_t vocab = logits.size(1);
  for (size_t t = 0; t + 1 < ids.size(); ++t) {
    const float* l = logits.f32() + static_cast<int64_t>(t) * vocab;
    const double most = *std::max_element(l, l + vocab);
    double total = 0;
    for (int64_t i = 0; i < vocab; ++i) total += std::exp(l[i] - most);
    sum += most + std::log(total) - l[ids[t + 1]];
  }
  return sum / static_cast<double>(ids.size() - 1);
}

TEST_P(DecoderCase, LogitsGreedyIdsAndLikelihoodEqualTransformers) {
  const Expected expected(GetParam());
  const LanguageModelFiles files = open_case(GetParam(), ComputeType::f32);
  const std::vector<int32_t> prompt = expected.ids("prompt_ids");
  EXPECT_LE(
      relative_error(logits_in_pieces(*files.model, prompt, prompt.size()), expected.get("logits")),
      1e-4);
  EXPECT_EQ(greedy(*files.model, prompt, 24), expected.ids("greedy_ids"));
  const std::vector<int32_t> text = expected.ids("nll_ids");
  EXPECT_NEAR(mean_nll(logits_in_pieces(*files.model, text, text.size()), text),
              expected.get("nll").f32()[0], 1e-4);
}

// Enough to reach into a second page of the cache. Dynamic and LongRoPE scaling look at the length
// a call reaches: only its first 24 positions are free of that.
std::vector<int32_t> cuttable_ids(const char* name, const Expected& expected) {
  std::vector<int32_t> ids = expected.ids("nll_ids");
  const std::set<std::string> by_length = {"llama_dynamic", "internlm2_dynamic", "phi3_longrope",
                                           "gguf_phi3_longrope"};
  ids.resize(by_length.count(name) > 0 ? 24 : 70);
  return ids;
}

// ChatGLM-6B's prefix, whose tokens see each other, goes in one piece with the token that ends it.
size_t prefix_end(const std::string& name, const std::vector<int32_t>& ids) {
  if (name != "chatglm") return 0;
  constexpr int32_t kStart = 6;  // bos_token_id of its config.json
  return static_cast<size_t>(std::find(ids.begin(), ids.end(), kStart) - ids.begin()) + 1;
}

TEST_P(DecoderCase, SameBitsHoweverThePromptIsCut) {
  const Expected expected(GetParam());
  const std::vector<int32_t> ids = cuttable_ids(GetParam(), expected);
  const size_t first = prefix_end(GetParam(), ids);
  for (const ComputeType compute : {ComputeType::f32, ComputeType::bf16, ComputeType::automatic}) {
    const LanguageModelFiles files = open_case(GetParam(), compute);
    const Tensor whole = logits_in_pieces(*files.model, ids, ids.size());
    for (const size_t piece : {size_t{7}, size_t{1}})
      EXPECT_TRUE(same_bits(whole, logits_in_pieces(*files.model, ids, piece, first)))
          << "pieces of " << piece;
  }
}

TEST_P(DecoderCase, SameBitsWithAnyNumberOfThreads) {
  const Expected expected(GetParam());
  const std::vector<int32_t> ids = expected.ids("nll_ids");
  const LanguageModelFiles files = open_case(GetParam(), ComputeType::automatic);
  const int before = base::num_threads();
  base::set_num_threads(1);
  const Tensor one = logits_in_pieces(*files.model, ids, ids.size());
  for (const int threads : {2, 3}) {
    base::set_num_threads(threads);
    EXPECT_TRUE(same_bits(one, logits_in_pieces(*files.model, ids, ids.size())))
        << threads << " threads";
  }
  base::set_num_threads(before);
}

// bf16 and int8 activations round: the answer is near, not equal.
TEST_P(DecoderCase, OtherComputeTypesAreNear) {
  const Expected expected(GetParam());
  const std::vector<int32_t> prompt = expected.ids("prompt_ids");
  // Forty layers that are 8 wide: where activations are bf16, too, each layer's rounding shows.
  const bool deep = std::string_view(GetParam()).ends_with("_deep");
  for (const ComputeType compute : {ComputeType::bf16, ComputeType::automatic}) {
    const LanguageModelFiles files = open_case(GetParam(), compute);
    const double error = relative_deviation(logits_in_pieces(*files.model, prompt, prompt.size()),
                                            expected.get("logits"));
    EXPECT_LE(error, deep ? 0.2 : 0.05);
  }
}

// The path that training takes: no cache, plain f32 parameters.
TEST_P(DecoderCase, TrainableForwardEqualsTransformers) {
  const Expected expected(GetParam());
  const LanguageModelFiles files = open_case(GetParam(), ComputeType::f32, true);
  const std::vector<int32_t> prompt = expected.ids("prompt_ids");
  const Tensor ids = Tensor::from_ids(prompt, {1, static_cast<int64_t>(prompt.size())});
  EXPECT_LE(relative_error(files.model->forward(ids), expected.get("logits")), 1e-4);
  EXPECT_FALSE(files.model->parameters().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Reference, DecoderCase,
    testing::Values("llama", "llama_tied", "llama_sharded", "llama_bias", "llama_odd",
                    "llama_linear", "llama_dynamic", "llama_llama3", "llama_yarn", "mistral",
                    "mistral_full", "qwen2", "qwen2_window", "gpt2", "gpt2_base_names",
                    "gguf_llama_f32", "gguf_llama_q8_0", "gguf_llama_q4_0", "gguf_llama_mixed",
                    "gguf_llama_k", "gguf_qwen2", "gguf_gpt2", "gpt_neox", "gpt_neox_sequential",
                    "gptj", "codegen", "phi", "phi_grouped", "phi3", "phi3_longrope", "phi3_short",
                    "phi3_tied", "falcon_7b", "falcon_40b", "falcon_11b", "falcon_rw", "mpt",
                    "mpt_clipped", "mpt_normed", "mpt_beyond", "bloom", "bloom_beyond", "qwen3",
                    "qwen3_window", "smollm3", "gemma", "gemma2", "gemma3", "gemma3_new_keys",
                    "gemma3_pictures", "mistral3_pictures", "llava_pictures", "llava_mistral_pictures", "rwkv", "rwkv_odd", "rwkv_tied", "rwkv_pth", "gpt_bigcode", "gpt_bigcode_heads", "santacoder",
                    "starcoder2", "starcoder2_plain", "opt", "opt_350m", "opt_untied", "galactica",
                    "glm", "glm_tied", "glm4", "glm4_tied", "chatglm", "chatglm2", "chatglm2_heads",
                    "olmo", "olmo2", "baichuan_7b", "baichuan_13b", "internlm", "internlm2",
                    "internlm2_dynamic", "baichuan_13b_deep", "yi", "qwen", "mpt_clipped_unscaled",
                    "gemma2_head_scale", "gemma3_head_scale"),
    [](const auto& param) { return std::string(param.param); });

// The same weights from GGUF as from the family's folder (tools/reference/families_gguf.py).
INSTANTIATE_TEST_SUITE_P(
    Gguf, DecoderCase,
    testing::Values("gguf_gpt_bigcode", "gguf_starcoder2", "gguf_starcoder2_plain",
                    "gguf_mpt_clipped_unscaled", "gguf_bloom", "gguf_falcon_7b", "gguf_falcon_40b",
                    "gguf_gpt_neox", "gguf_phi", "gguf_phi3", "gguf_phi3_longrope", "gguf_gemma",
                    "gguf_gemma2_head_scale", "gguf_gemma3_head_scale", "gguf_qwen3",
                    "gguf_smollm3", "gguf_glm", "gguf_glm4", "gguf_chatglm2", "gguf_chatglm2_heads",
                    "gguf_internlm2", "gguf_baichuan_7b", "gguf_baichuan_13b_deep", "gguf_qwen",
                    "gguf_olmo", "gguf_olmo2"),
    [](const auto& param) { return std::string(param.param); });

TEST(Decoder, LongPromptsGoThroughInChunks) {
  // 1100 tokens are three chunks of the decoder; the reference has none this long, token by token
  // is the twin.
  const std::string folder = testing::TempDir() + "/long";
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(case_folder("llama") + "/model.safetensors",
                             folder + "/model.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  nlohmann::json config = formats::read_json_file(case_folder("llama") + "/config.json");
  config["max_position_embeddings"] = 1100;
  std::ofstream(folder + "/config.json") << config;
  const LanguageModelFiles files = open_language_model(folder);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 1100; ++i) ids.push_back(i * 37 % 131);
  const Tensor whole = logits_in_pieces(*files.model, ids, ids.size());
  EXPECT_TRUE(same_bits(whole, logits_in_pieces(*files.model, ids, 600)));
  EXPECT_TRUE(same_bits(whole, logits_in_pieces(*files.model, ids, 1)));
  const auto state = files.model->new_state();
  const Tensor last = files.model->forward(ids, *state, LogitsFor::last);
  EXPECT_TRUE(same_bits(last, whole.rows(1099, 1)));
  EXPECT_THROW(files.model->forward(std::vector<int32_t>{1}, *state, LogitsFor::last), Error);
}

// ALiBi goes on to twice the length of training (cases mpt_beyond and bloom_beyond), and ends there.
TEST(Decoder, AlibiHasAnEnd) {
  for (const std::string name : {"mpt_beyond", "bloom_beyond"}) {
    const LanguageModelFiles files = open_case(name, ComputeType::f32);
    EXPECT_EQ(files.model->max_positions(), 220);
    const auto state = files.model->new_state();
    files.model->forward(std::vector<int32_t>(220, 5), *state, LogitsFor::none);
    EXPECT_THROW(files.model->forward(std::vector<int32_t>{5}, *state, LogitsFor::last), Error);
  }
}

TEST(Decoder, PyTorchFilesGiveTheSameBits) {
  for (const std::string name : {"gpt2", "llama_tied"}) {
    const std::vector<int32_t> ids = Expected(name).ids("prompt_ids");
    const LanguageModelFiles expected = open_case(name, ComputeType::automatic);
    const LanguageModelFiles found = open_case(name + "_bin", ComputeType::automatic);
    EXPECT_TRUE(same_bits(logits_in_pieces(*found.model, ids, ids.size()),
                          logits_in_pieces(*expected.model, ids, ids.size())))
        << name;
  }
}

TEST(Decoder, StateGoesBackAndOn) {
  const Expected expected("mistral");
  const LanguageModelFiles files = open_case("mistral", ComputeType::automatic);
  const std::vector<int32_t> ids = expected.ids("prompt_ids");
  const auto state = files.model->new_state();
  EXPECT_FALSE(files.model->forward(ids, *state, LogitsFor::none).defined());
  EXPECT_EQ(state->length(), 30);
  EXPECT_GT(state->bytes(), 0u);
  state->truncate(11);
  EXPECT_EQ(state->length(), 11);
  const Tensor again = files.model->forward(std::span(ids).subspan(11), *state, LogitsFor::all);
  EXPECT_TRUE(same_bits(again, logits_in_pieces(*files.model, ids, 30).rows(11, 19)));
  EXPECT_THROW(state->truncate(31), Error);
}

TEST(Decoder, RefusesBadIdsAndLeavesTheStateAsItWas) {
  const LanguageModelFiles files = open_case("llama", ComputeType::automatic);
  const auto state = files.model->new_state();
  files.model->forward(std::vector<int32_t>{5, 6}, *state, LogitsFor::none);
  for (const int32_t id : {-1, 131, INT32_MAX})
    EXPECT_THROW(files.model->forward(std::vector<int32_t>{3, id}, *state, LogitsFor::last), Error);
  EXPECT_THROW(files.model->forward(std::vector<int32_t>{}, *state, LogitsFor::last), Error);
  EXPECT_THROW(files.model->forward(std::vector<int32_t>(255, 1), *state, LogitsFor::last), Error);
  EXPECT_EQ(state->length(), 2);
  const LanguageModelFiles other = open_case("llama_odd", ComputeType::automatic);
  EXPECT_THROW(other.model->forward(std::vector<int32_t>{3}, *state, LogitsFor::last), Error);
}

// Baichuan 2's head: the spec asks for rows of length 1, the file has others.
TEST(Decoder, DividesTheHeadsRowsByTheirLength) {
  const std::string name = "baichuan_7b";
  const Config config = Config::read(case_folder(name) + "/config.json");
  const Family& family = family_for(config);
  DecoderSpec spec = family.from_config(config);
  EXPECT_FALSE(spec.unit_head_rows);
  spec.unit_head_rows = true;
  const formats::SafetensorsFile file(case_folder(name) + "/model.safetensors");
  nn::LoadOptions options;
  options.compute = ops::PackedWeight::Compute::f32;
  const Decoder decoder(spec, family.weights, file, false, options);
  const std::vector<int32_t> ids = Expected(name).ids("prompt_ids");
  const Tensor found = logits_in_pieces(decoder, ids, ids.size());
  Tensor expected = Expected(name).get("logits").clone();
  const Tensor head = file.get("lm_head.weight").to(DType::f32);
  for (int64_t v = 0; v < head.size(0); ++v) {
    double sum = 0;
    for (int64_t c = 0; c < head.size(1); ++c) sum += std::pow(head.f32()[v * head.size(1) + c], 2);
    for (int64_t t = 0; t < expected.size(0); ++t)
      expected.f32()[t * head.size(0) + v] /= static_cast<float>(std::sqrt(sum));
  }
  EXPECT_LE(relative_error(found, expected), 4e-3);  // the divided rows are bf16 again

  nlohmann::json object = formats::read_json_file(case_folder(name) + "/config.json");
  object["vocab_size"] = 125696;
  EXPECT_TRUE(family.from_config(Config(object, "config.json")).unit_head_rows);
}

TEST(Decoder, ReadsAPrefixAtOnce) {
  const Expected expected("chatglm");
  const LanguageModelFiles files = open_case("chatglm", ComputeType::f32);
  const LanguageModel& model = *files.model;
  ASSERT_TRUE(model.has_encoder());
  std::vector<int32_t> prompt = expected.ids("prompt_ids");
  prompt.resize(prefix_end("chatglm", prompt));  // ends with the token that begins the answer
  const Tensor whole = logits_in_pieces(model, prompt, prompt.size());
  for (const bool with_start : {true, false}) {  // encode() takes it or adds it
    std::vector<int32_t> given = prompt;
    if (!with_start) given.pop_back();
    const PromptState read = read_prompt(model, given);
    EXPECT_EQ(read.rest, std::vector<int32_t>{prompt.back()});
    const Tensor last = model.forward(read.rest, *read.state, LogitsFor::last);
    EXPECT_TRUE(same_bits(last, whole.rows(whole.size(0) - 1, 1)));
    EXPECT_EQ(read.state->length(), static_cast<int64_t>(prompt.size()));
    EXPECT_THROW(read.state->truncate(5), Error);  // within the prefix
  }
  EXPECT_THROW(model.encode(std::vector<int32_t>{9, 10, 6}), Error);     // no mask
  EXPECT_THROW(model.encode(std::vector<int32_t>{9, 5, 6, 10}), Error);  // goes on after the start
  const auto state = model.new_state();
  EXPECT_THROW(model.forward(std::vector<int32_t>{9, 5}, *state, LogitsFor::last), Error);
}

TEST(Decoder, RowsOfABatchHaveOnePrefix) {
  const LanguageModelFiles files = open_case("chatglm", ComputeType::f32, true);
  const Tensor same = Tensor::from_ids({9, 5, 6, 8, 10, 5, 6, 11}, {2, 4});
  const Tensor both = files.model->forward(same);
  const Tensor second = files.model->forward(Tensor::from_ids({10, 5, 6, 11}, {1, 4}));
  EXPECT_TRUE(same_bits(both.rows(1, 1), second));
  EXPECT_THROW(files.model->forward(Tensor::from_ids({9, 5, 6, 8, 5, 6, 10, 8}, {2, 4})), Error);
}

TEST(Decoder, CountsItsMemory) {
  const LanguageModelFiles plain = open_case("llama", ComputeType::f32);
  // Two layers of query, key, value, output, gate, up, down and two norms; the head and a norm; all
  // f32.
  const size_t layer = 32 * (32 + 16 + 16 + 32 + 3 * 56) + 64;
  EXPECT_GE(plain.model->weight_bytes(), 4 * (2 * layer + 131 * 32 + 32));
  const LanguageModelFiles small = open_case("gguf_llama_q4_0", ComputeType::automatic);
  const LanguageModelFiles exact = open_case("gguf_llama_q4_0", ComputeType::f32);
  const LanguageModelFiles large = open_case("gguf_llama_q4_0", ComputeType::f32, true);
  EXPECT_EQ(small.model->weight_bytes(), exact.model->weight_bytes()) << "codes stay codes";
  EXPECT_LT(small.model->weight_bytes() * 3, large.model->weight_bytes());
  EXPECT_TRUE(small.model->parameters().empty());
}

}  // namespace
}  // namespace sumi::models

// What is particular to RWKV-4: its state, its author's files, rescaling. Logits, greedy ids,
// likelihoods, gradients and equal bits are decoder_test.cc's and gradient_test.cc's.
#include "models/language/rwkv/rwkv.h"

#include <malloc.h>

#include "base/threads.h"
#include "formats/json.h"
#include "formats/torch_file.h"
#include "reference.h"

#ifdef __SANITIZE_ADDRESS__  // g++ brings the function without its header
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace sumi::models {
namespace {

// A checkpoint in memory, to be changed.
class Tensors : public formats::TensorSource {
 public:
  explicit Tensors(const formats::TensorSource& source) {
    for (const formats::TensorInfo& info : source.tensors()) add(info.name, source.get(info.name));
  }
  void add(const std::string& name, const Tensor& tensor) {
    remove(name);
    infos_.push_back({name, tensor.shape(), tensor.dtype(), "memory"});
    tensors_.emplace_back(name, tensor);
  }
  void remove(const std::string& name) {
    std::erase_if(infos_, [&](const auto& info) { return info.name == name; });
    std::erase_if(tensors_, [&](const auto& entry) { return entry.first == name; });
  }
  std::string describe() const override { return "memory"; }
  const std::vector<formats::TensorInfo>& tensors() const override { return infos_; }
  bool has(const std::string& name) const override {
    return std::any_of(infos_.begin(), infos_.end(), [&](auto& i) { return i.name == name; });
  }
  Tensor get(const std::string& name) const override {
    for (const auto& [have, tensor] : tensors_)
      if (have == name) return tensor;
    fail("memory: no tensor named {}", name);
  }
  void release(const std::string&) const override {}

 private:
  std::vector<formats::TensorInfo> infos_;
  std::vector<std::pair<std::string, Tensor>> tensors_;
};

Tensors pth() { return Tensors(formats::TorchFile(case_folder("rwkv_pth") + "/model.pth")); }

template <class Body>
void expect_error(const Body& body, const char* part) {
  try {
    body();
    ADD_FAILURE() << "no error with " << part;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

// transformers halves the hidden state in inference alone; epsilons of 0.02 let it show.
TEST(Rwkv, RescalesAsTransformersDoesInInferenceAlone) {
  const Expected expected("rwkv_rescaled");
  const std::vector<int32_t> prompt = expected.ids("prompt_ids");
  const LanguageModelFiles run = open_case("rwkv_rescaled", ComputeType::f32);
  const Tensor logits = logits_in_pieces(*run.model, prompt, prompt.size());
  EXPECT_LE(relative_error(logits, expected.get("logits")), 1e-4);
  EXPECT_GT(relative_error(logits, expected.get("train_logits")), 1e-3);
  const LanguageModelFiles trained = open_case("rwkv_rescaled", ComputeType::f32, true);
  const Tensor ids = Tensor::from_ids(prompt, {1, static_cast<int64_t>(prompt.size())});
  EXPECT_LE(relative_error(trained.model->forward(ids), expected.get("train_logits")), 1e-4);
}

TEST(Rwkv, LongPromptsGoThroughInChunks) {
  const LanguageModelFiles files = open_case("rwkv", ComputeType::automatic);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 700; ++i) ids.push_back(i * 37 % 131);
  const Tensor whole = logits_in_pieces(*files.model, ids, ids.size());
  EXPECT_TRUE(same_bits(whole, logits_in_pieces(*files.model, ids, 300)));
  EXPECT_TRUE(same_bits(whole, logits_in_pieces(*files.model, ids, 1)));
  const auto state = files.model->new_state();
  EXPECT_FALSE(files.model->forward(std::span(ids).first(699), *state, LogitsFor::none).defined());
  EXPECT_TRUE(same_bits(files.model->forward(std::span(ids).last(1), *state, LogitsFor::last),
                        whole.rows(699, 1)));
}

// What this process has allocated and not freed. Resident pages would not do: the kernel makes small pages huge ones.
size_t allocated_bytes() {
#ifdef __SANITIZE_ADDRESS__  // mallinfo2() knows nothing of AddressSanitizer's allocator, which counts itself
  return __sanitizer_get_current_allocated_bytes();
#else
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

// Unoptimised and watched, a token takes tens of times as long.
#ifdef __SANITIZE_ADDRESS__
constexpr int kTokens = 10'000;
#else
constexpr int kTokens = 100'000;
#endif

TEST(Rwkv, MemoryIsFlatFromTheFirstTokenOn) {
  const LanguageModelFiles files = open_case("rwkv_odd", ComputeType::automatic);
  const int threads = base::num_threads();
  base::set_num_threads(1);  // so small a model takes longer to share out than to compute
  const auto state = files.model->new_state();
  const size_t bytes = 4 * 3 * (2 * 27 + 3 * 21);
  EXPECT_EQ(state->bytes(), bytes);
  int32_t id = 5;
  size_t allocated = 0;
  for (int i = 0; i < kTokens; ++i) {
    const Tensor logits = files.model->forward({&id, 1}, *state, LogitsFor::last);
    id = static_cast<int32_t>(std::max_element(logits.f32(), logits.f32() + logits.numel()) -
                              logits.f32());
    ASSERT_TRUE(std::isfinite(logits.f32()[id])) << i;
    if (i == 0) allocated = allocated_bytes();
  }
  const size_t after = allocated_bytes();
  base::set_num_threads(threads);
  EXPECT_EQ(state->length(), kTokens);
  EXPECT_LE(after, allocated + 4096);  // one byte kept of each second token would show
  EXPECT_EQ(state->bytes(), bytes);
}

TEST(Rwkv, AStateIsCopiedAndForgottenButNotCut) {
  const Expected expected("rwkv");
  const LanguageModelFiles files = open_case("rwkv", ComputeType::automatic);
  const std::vector<int32_t> ids = expected.ids("prompt_ids");
  const auto part = [&](size_t from, size_t to) { return std::span(ids).subspan(from, to - from); };
  const auto state = files.model->new_state();
  files.model->forward(part(0, 12), *state, LogitsFor::none);
  const auto copy = state->clone();
  files.model->forward(part(20, 25), *copy, LogitsFor::none);
  EXPECT_EQ(copy->length(), 17);
  const Tensor whole = logits_in_pieces(*files.model, ids, ids.size());
  EXPECT_TRUE(
      same_bits(files.model->forward(part(12, 30), *state, LogitsFor::all), whole.rows(12, 18)));
  EXPECT_FALSE(state->can_truncate());
  expect_error([&] { state->truncate(29); }, "30 tokens cannot be cut to 29");
  state->truncate(30);
  state->truncate(0);
  EXPECT_EQ(state->length(), 0);
  EXPECT_TRUE(same_bits(files.model->forward(ids, *state, LogitsFor::all), whole));
}

TEST(Rwkv, RefusesBadIdsAndOtherModelsStates) {
  const LanguageModelFiles files = open_case("rwkv", ComputeType::automatic);
  const auto state = files.model->new_state();
  files.model->forward(std::vector<int32_t>{5, 6}, *state, LogitsFor::none);
  for (const int32_t id : {-1, 131, INT32_MAX})
    EXPECT_THROW(files.model->forward(std::vector<int32_t>{3, id}, *state, LogitsFor::last), Error);
  EXPECT_THROW(files.model->forward(std::vector<int32_t>{}, *state, LogitsFor::last), Error);
  EXPECT_EQ(state->length(), 2);
  const LanguageModelFiles llama = open_case("llama", ComputeType::automatic);
  expect_error(
      [&] {
        files.model->forward(std::vector<int32_t>{3}, *llama.model->new_state(), LogitsFor::last);
      },
      "another model");
  expect_error([&] { files.model->forward(Tensor::zeros({2, 3})); }, "expected [B, T] i32");
  expect_error([&] { llama.model->model_identity(); }, "cannot be saved");
}

TEST(Rwkv, AllPathsToAnAuthorsFileLeadToTheModel) {
  const LanguageModelFiles folder = open_case("rwkv_pth", ComputeType::automatic);
  const LanguageModelFiles file = open_language_model(case_folder("rwkv_pth") + "/model.pth");
  EXPECT_EQ(file.architecture, "rwkv");
  EXPECT_EQ(folder.path, file.path);
  EXPECT_EQ(file.tokenizer, nullptr);
  const RwkvSpec& spec = dynamic_cast<const Rwkv&>(*file.model).spec();
  EXPECT_EQ(spec.num_layers, 3);
  EXPECT_EQ(spec.hidden_size, 32);
  EXPECT_EQ(spec.intermediate_size, 128);
}

TEST(Rwkv, WhatAnAuthorsFileLacksIsNamed) {
  const auto open = [](const std::function<void(Tensors&)>& change) {
    return [change] {
      Tensors tensors = pth();
      change(tensors);
      Rwkv(rwkv_spec(tensors), tensors, {});
    };
  };
  open([](Tensors&) {})();
  expect_error(open([](Tensors& t) { t.remove("emb.weight"); }), "no tensor emb.weight");
  expect_error(open([](Tensors& t) { t.remove("blocks.1.ffn.time_mix_r"); }),
               "missing: blocks.1.ffn.time_mix_r");
  expect_error(open([](Tensors& t) { t.add("blocks.2.att.extra", Tensor::zeros({2})); }),
               "blocks.2.att.extra");
  expect_error(open([](Tensors& t) { t.add("blocks.999999.ln1.weight", Tensor::zeros({2})); }),
               "1000000 layers in");
  expect_error(open([](Tensors& t) { t.add("blocks.0.att.time_first", Tensor::zeros({31})); }),
               "blocks.0.att.time_first: expected shape [32], found [31]");
  expect_error(open([](Tensors& t) { t.add("emb.weight", Tensor::zeros({131})); }),
               "emb.weight: expected a matrix");
  for (const auto& [tensor, version] : {std::pair{"blocks.0.att.ln_x.weight", "RWKV-5"},
                                        std::pair{"blocks.0.att.time_maa_x", "RWKV-6"},
                                        std::pair{"blocks.0.att.r_k", "RWKV-7"}})
    expect_error(open([&, tensor = tensor](Tensors& t) { t.add(tensor, Tensor::zeros({2})); }),
                 version);
  expect_error([] { open_language_model(case_folder("gpt2_bin") + "/pytorch_model.bin"); },
               "need the folder with their config.json");
}

TEST(Rwkv, ConfigErrorsNameTheKey) {
  const auto message = [](const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json object = formats::read_json_file(case_folder("rwkv") + "/config.json");
    change(object);
    return [object] { rwkv_spec(Config(object, "config.json")); };
  };
  expect_error(message([](auto& o) { o["hidden_size"] = 0; }), "hidden_size: expected 1 to");
  expect_error(message([](auto& o) { o.erase("vocab_size"); }), "vocab_size");
  expect_error(message([](auto& o) { o["layer_norm_epsilon"] = -1; }), "layer_norm_epsilon");
  expect_error(message([](auto& o) { o["architectures"] = {"RwkvModel"}; }), "RwkvModel");
}

}  // namespace
}  // namespace sumi::models

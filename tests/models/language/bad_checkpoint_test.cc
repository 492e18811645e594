// Checkpoints that do not fit: each is an Error that names what is wrong.
#include <fstream>
#include <functional>

#include "formats/json.h"
#include "reference.h"

namespace sumi::models {
namespace {

using Json = nlohmann::json;

std::string fresh_folder(const std::string& name) {
  const std::string folder = testing::TempDir() + "/bad_" + name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

std::string error_of(const std::string& model) {
  try {
    open_language_model(model);
  } catch (const Error& e) {
    return e.what();
  }
  return "(no error)";
}

struct BadConfig {
  const char* name;
  Json patch;  // merged into the llama case's config.json
  const char* message;
};

class BadConfigs : public testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigs, NameTheField) {
  const std::string folder = fresh_folder(GetParam().name);
  std::filesystem::copy_file(case_folder("llama") + "/model.safetensors",
                             folder + "/model.safetensors");
  Json config = formats::read_json_file(case_folder("llama") + "/config.json");
  config.merge_patch(GetParam().patch);
  std::ofstream(folder + "/config.json") << config;
  const std::string message = error_of(folder);
  EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
  EXPECT_NE(message.find(folder), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(
    All, BadConfigs,
    testing::Values(
        BadConfig{"unknown_architecture",
                  {{"architectures", {"MambaForCausalLM"}}},
                  "known: LlamaForCausalLM"},
        BadConfig{"unknown_type",
                  {{"architectures", nullptr}, {"model_type", "mamba"}},
                  "model_type \"mamba\""},
        BadConfig{"architectures_text", {{"architectures", "LlamaForCausalLM"}}, "architectures"},
        BadConfig{"no_hidden_size", {{"hidden_size", nullptr}}, "hidden_size"},
        BadConfig{"hidden_size_text", {{"hidden_size", "32"}}, "hidden_size"},
        BadConfig{"hidden_size_zero", {{"hidden_size", 0}, {"head_dim", 8}}, "hidden_size is 0"},
        BadConfig{"hidden_size_negative", {{"hidden_size", -32}}, "hidden_size is -32"},
        BadConfig{"hidden_size_huge", {{"hidden_size", 1ll << 40}}, "hidden_size is 1099511627776"},
        BadConfig{"heads", {{"num_attention_heads", 5}}, "not a multiple of 5 attention heads"},
        BadConfig{"no_heads", {{"num_attention_heads", 0}}, "0 attention heads"},
        BadConfig{"kv_heads", {{"num_key_value_heads", 3}}, "not a multiple of 3 key/value heads"},
        BadConfig{"layers", {{"num_hidden_layers", 4097}}, "the number of layers is 4097"},
        BadConfig{
            "more_layers", {{"num_hidden_layers", 3}}, "model.layers.2.input_layernorm.weight"},
        BadConfig{"fewer_layers", {{"num_hidden_layers", 1}}, "model.layers.1."},
        BadConfig{"vocabulary", {{"vocab_size", 132}}, "expected shape [132, 32], found [131, 32]"},
        BadConfig{"vocabulary_huge", {{"vocab_size", 1ll << 50}}, "vocab_size"},
        BadConfig{"intermediate",
                  {{"intermediate_size", 57}},
                  "mlp.gate_proj.weight: expected shape [57, 32]"},
        BadConfig{"head_dim_odd", {{"head_dim", 7}}, "expected an even number"},
        BadConfig{"bias_missing", {{"attention_bias", true}}, "self_attn.q_proj.bias"},
        BadConfig{"epsilon", {{"rms_norm_eps", -1.0}}, "epsilon"},
        BadConfig{"theta", {{"rope_theta", 0}}, "rope_theta is 0"},
        BadConfig{"rope_type",
                  {{"rope_scaling", {{"type", "ntk"}}}},
                  "rope type \"ntk\" is not known"},
        BadConfig{"longrope",
                  {{"rope_scaling", {{"type", "longrope"}, {"short_factor", {1.0}}}}},
                  "short or long factors, expected 4"},
        BadConfig{"rope_factor",
                  {{"rope_scaling", {{"type", "linear"}, {"factor", -2}}}},
                  "RoPE scaling factor is -2"},
        BadConfig{"rope_no_factor", {{"rope_scaling", {{"type", "linear"}}}}, "factor"},
        BadConfig{"rope_text", {{"rope_scaling", "linear"}}, "rope_scaling"},
        BadConfig{"quantized", {{"quantization_config", {{"bits", 4}}}}, "quantization_config"}),
    [](const auto& param) { return std::string(param.param.name); });

struct BadTensors {
  const char* name;
  std::function<void(std::vector<std::pair<std::string, Tensor>>&)> change;
  const char* message;
};

class BadTensorFiles : public testing::TestWithParam<BadTensors> {};

TEST_P(BadTensorFiles, NameTheTensor) {
  const std::string folder = fresh_folder(GetParam().name);
  std::filesystem::copy_file(case_folder("llama") + "/config.json", folder + "/config.json");
  const formats::SafetensorsFile good(case_folder("llama") + "/model.safetensors");
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const formats::TensorInfo& info : good.tensors())
    tensors.emplace_back(info.name, good.get(info.name));
  GetParam().change(tensors);
  formats::write_safetensors(folder + "/model.safetensors", tensors);
  const std::string message = error_of(folder);
  EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
}

Tensor& named(std::vector<std::pair<std::string, Tensor>>& tensors, const std::string& name) {
  for (auto& [have, tensor] : tensors)
    if (have == name) return tensor;
  fail("no {}", name);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadTensorFiles,
    testing::Values(BadTensors{"extra",
                               [](auto& t) { t.emplace_back("model.extra", Tensor::zeros({3})); },
                               "model.extra"},
                    BadTensors{"missing", [](auto& t) { t.pop_back(); }, "are missing"},
                    BadTensors{"turned",
                               [](auto& t) {
                                 named(t, "lm_head.weight") = Tensor::zeros({32, 131});
                               },
                               "lm_head.weight: expected shape [131, 32], found [32, 131]"},
                    BadTensors{"integers",
                               [](auto& t) {
                                 named(t, "lm_head.weight") = Tensor::zeros({131, 32}, DType::i32);
                               },
                               "found i32"},
                    BadTensors{"norm",
                               [](auto& t) {
                                 named(t, "model.norm.weight") = Tensor::zeros({32, 1});
                               },
                               "model.norm.weight: expected shape [32], found [32, 1]"},
                    BadTensors{"empty", [](auto& t) { t.clear(); }, "missing"}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(GoodCheckpoint, RotaryTablesAreIgnored) {
  const std::string folder = fresh_folder("ignored");
  std::filesystem::copy_file(case_folder("llama") + "/config.json", folder + "/config.json");
  const formats::SafetensorsFile good(case_folder("llama") + "/model.safetensors");
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const formats::TensorInfo& info : good.tensors())
    tensors.emplace_back(info.name, good.get(info.name));
  tensors.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq", Tensor::zeros({4}));
  formats::write_safetensors(folder + "/model.safetensors", tensors);
  EXPECT_EQ(error_of(folder), "(no error)");
}

TEST(BadGguf, NamesTheFile) {
  const std::string path = fresh_folder("gguf") + "/model.gguf";
  std::ofstream(path) << "not a GGUF file at all, but long enough to have a header";
  EXPECT_NE(error_of(path).find(path), std::string::npos);
}

TEST(GenerationDefaults, FromFileOrNone) {
  const std::string folder = fresh_folder("defaults");
  for (const char* file : {"/config.json", "/model.safetensors"})
    std::filesystem::copy_file(case_folder("llama") + file, folder + file);
  EXPECT_FALSE(open_language_model(folder).defaults.from_file);
  std::ofstream(folder + "/generation_config.json")
      << R"({"do_sample": true, "temperature": 0.6, "top_k": 20})";
  const GenerationDefaults sampled = open_language_model(folder).defaults;
  EXPECT_TRUE(sampled.from_file);
  EXPECT_DOUBLE_EQ(sampled.temperature, 0.6);
  EXPECT_DOUBLE_EQ(sampled.top_p, 1.0);
  EXPECT_EQ(sampled.top_k, 20);
  std::ofstream(folder + "/generation_config.json") << R"({"do_sample": false})";
  EXPECT_EQ(open_language_model(folder).defaults.temperature, 0);
  std::ofstream(folder + "/generation_config.json") << R"({"eos_token_id": 2})";
  EXPECT_FALSE(open_language_model(folder).defaults.from_file);
  std::ofstream(folder + "/generation_config.json") << R"({"top_k": "many"})";
  EXPECT_NE(error_of(folder).find("top_k"), std::string::npos);
}

}  // namespace
}  // namespace sumi::models

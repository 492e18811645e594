// What sumi inspect says of memory, and of folders that cannot be run.
#include <gtest/gtest.h>

#include "cli/command.h"

namespace sumi::cli {
namespace {

// Of a model with pictures the text model is run; what is for pictures is said to be left unused.
TEST(CliInspect, SaysWhatIsForPictures) {
  const std::string model = std::string(SUMI_TEST_DATA) + "/language/gemma3_pictures";
  const nlohmann::json json = run("inspect " + model + " --json").json();
  EXPECT_EQ(json["architecture"], "Gemma3ForConditionalGeneration");
  EXPECT_EQ(json["supported"], true);
  EXPECT_EQ(json["num_layers"], 4);
  EXPECT_GT(json["unused_tensors"].get<int64_t>(), 10);
  EXPECT_EQ(json["weight_bytes_as"]["f32"],
            (json["parameters"].get<int64_t>() - json["unused_parameters"].get<int64_t>()) * 4);
  const Outcome lines = run("inspect " + model);
  EXPECT_NE(lines.out.find("not used      " + std::to_string(json["unused_tensors"].get<int64_t>()) + " tensors, "),
            std::string::npos)
      << lines.out;
  const std::string text = std::string(SUMI_TEST_DATA) + "/language/gemma3";
  EXPECT_FALSE(run("inspect " + text + " --json").json().contains("unused_tensors"));
}

TEST(CliInspect, MemoryByTypeAndContext) {
  const ModelFolder model;
  const nlohmann::json whole = run("inspect " + model.path() + " --json").json();
  const nlohmann::json part = run("inspect " + model.path() + " --context 10 --json").json();
  const int64_t token = whole["cache_bytes_per_token"];
  // f32 keys and values of every layer.
  EXPECT_EQ(token, 2 * whole["num_layers"].get<int64_t>() * whole["num_kv_heads"].get<int64_t>() *
                       whole["head_dim"].get<int64_t>() * 4);
  EXPECT_EQ(whole["state_bytes"], token * whole["context_length"].get<int64_t>());
  EXPECT_EQ(part["state_bytes"], token * 10);
  EXPECT_EQ(part["memory_bytes"].get<int64_t>() - part["weight_bytes"].get<int64_t>(), token * 10);
  EXPECT_EQ(whole["weight_bytes_as"]["f32"], whole["parameters"].get<int64_t>() * 4);
  EXPECT_LT(whole["weight_bytes_as"]["q8_0"], whole["weight_bytes_as"]["f32"]);
  EXPECT_LT(whole["weight_bytes_as"]["q4_0"], whole["weight_bytes_as"]["q8_0"]);
  const Outcome text = run("inspect " + model.path() + " --context 10");
  EXPECT_NE(text.out.find("for 10 tokens"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find(" as q8_0"), std::string::npos) << text.out;
  EXPECT_EQ(run("inspect " + model.path() + " --context 100000").code, 1);
  EXPECT_EQ(run("inspect " + model.path() + " --context 0").code, 2);
}

// An estimate is what a converted file holds.
TEST(CliInspect, TheEstimateOfATypeIsTheSizeOfItsFile) {
  const ModelFolder model;
  const nlohmann::json estimate = run("inspect " + model.path() + " --json").json();
  for (const std::string dtype : {"bf16", "q8_0", "q6_k"}) {  // rows shorter than a block of q6_k
    const std::string path = model / (dtype + ".gguf");
    ASSERT_EQ(run("convert " + model.path() + " " + path + " --dtype " + dtype).code, 0);
    const nlohmann::json file = run("inspect " + path + " --json").json();
    EXPECT_EQ(file["weight_bytes"], estimate["weight_bytes_as"][dtype]) << dtype;
  }
}

struct Refused {
  const char *name, *key;  // of config.json
  nlohmann::json value;    // null: the key is taken away
  std::vector<const char*> words;
};

// The model of `folder` is refused with these words.
void expect_refused(const std::string& folder, const std::vector<const char*>& words) {
  const Outcome outcome = run("inspect " + folder + " --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const nlohmann::json json = outcome.json();
  ASSERT_EQ(json["supported"], false);
  for (const char* word : words)
    EXPECT_NE(json["reason"].get<std::string>().find(word), std::string::npos)
        << word << " is not in: " << json["reason"];
  EXPECT_GT(json["parameters"].get<int64_t>(), 0);
  const Outcome text = run("inspect " + folder);
  EXPECT_NE(text.out.find("cannot be run"), std::string::npos) << text.out;
  const Outcome generated = run("generate " + folder + " --prompt-ids 5");
  EXPECT_EQ(generated.code, 1);
  for (const char* word : words)
    EXPECT_NE(generated.err.find(word), std::string::npos) << generated.err;
}

// config.json of `folder` with the case's key changed.
void change(const Folder& folder, const Refused& test) {
  nlohmann::json config = nlohmann::json::parse(slurp(folder / "config.json"));
  if (test.value.is_null())
    config.erase(test.key);
  else
    config[test.key] = test.value;
  spill(folder / "config.json", config.dump());
}

// The case of tests/data without its tokenizer and expectations.
void copy_case(const std::string& name, const Folder& folder) {
  for (const char* file : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(std::string(SUMI_TEST_DATA) + "/" + name + "/" + file,
                               folder / file);
}

// Each change of that folder.
void expect_all_refused(const std::string& folder_name, const std::vector<Refused>& cases) {
  for (const Refused& test : cases) {
    SCOPED_TRACE(test.name);
    const Folder folder;
    copy_case(folder_name, folder);
    change(folder, test);
    expect_refused(folder.path(), test.words);
  }
}

TEST(CliInspect, SaysWhyAFolderCannotBeRun) {
  const std::vector<Refused> cases = {
      {"an unknown architecture",
       "architectures",
       {"FooForCausalLM"},
       {"config.json", "\"FooForCausalLM\" is not known", "LlamaForCausalLM"}},
      {"a missing field", "hidden_size", nullptr, {"config.json", "hidden_size", "missing"}},
      {"a field of another type", "num_hidden_layers", "two", {"config.json", "num_hidden_layers: expected an integer"}},
      {"an option that is not known",
       "hidden_act",
       "snake",
       {"config.json: hidden_act: unknown name \"snake\"", "silu"}},
      {"a weight that is not there", "num_hidden_layers", 3, {"missing", "model.layers.2."}},
      {"a weight too many", "num_hidden_layers", 1, {"does not call for", "model.layers.1."}},
      {"a form of weights", "quantization_config", {{"quant_method", "gptq"}}, {"quantization"}},
  };
  for (const Refused& test : cases) {
    SCOPED_TRACE(test.name);
    const ModelFolder model;
    change(model, test);
    expect_refused(model.path(), test.words);
  }
}

// Fields under the names that some families have.
TEST(CliInspect, SaysWhyAFamilysFolderCannotBeRun) {
  expect_all_refused("language/falcon_7b", {{"an activation",
                                             "activation",
                                             "snake",
                                             {"config.json: activation: unknown name \"snake\""}}});
  expect_all_refused("language/gpt_bigcode",
                     {{"an activation",
                       "activation_function",
                       "snake",
                       {"config.json: activation_function: unknown name \"snake\""}},
                      {"attention to another text", "add_cross_attention", true, {"config.json: add_cross_attention"}}});
}

TEST(CliInspect, SaysWhyAT5CannotBeRun) {
  const std::vector<Refused> cases = {
      {"another head", "architectures", {"T5ForTokenClassification"},
       {"config.json: architectures: T5ForTokenClassification is not known",
        "T5ForConditionalGeneration"}},
      {"a missing field", "d_model", nullptr, {"config.json: d_model is missing"}},
      {"a field of another type", "d_kv", "wide", {"config.json: d_kv: expected an integer"}},
      {"buckets", "relative_attention_num_buckets", 7,
       {"config.json: relative_attention_num_buckets: expected a multiple of 4"}},
      {"a first id outside the vocabulary", "decoder_start_token_id", 131,
       {"config.json: decoder_start_token_id: expected 0 to 130, found 131"}},
      {"an activation", "feed_forward_proj", "gated-snake",
       {"config.json: feed_forward_proj: unknown name \"snake\""}},
      {"weights of another MLP", "feed_forward_proj", "gated-gelu",
       {"model.safetensors", "missing: encoder.block.0.layer.1.DenseReluDense.wi_0.weight"}},
      {"layers that are not there", "num_layers", 3,
       {"model.safetensors", "missing: encoder.block.2.layer.0."}},
      {"layers too many", "num_decoder_layers", 1,
       {"model.safetensors", "does not call for: decoder.block.1.layer.0."}},
      {"a form of weights", "quantization_config", {{"quant_method", "gptq"}},
       {"config.json: quantization_config"}},
  };
  expect_all_refused("t5/t5", cases);
}

TEST(CliInspect, SaysWhyAnRwkvCannotBeRun) {
  const std::vector<Refused> cases = {
      {"no head", "architectures", {"RwkvModel"},
       {"config.json: architectures: expected RwkvForCausalLM, found RwkvModel"}},
      {"a missing field", "hidden_size", nullptr, {"config.json: hidden_size is missing"}},
      {"a field of another type", "rescale_every", "often",
       {"config.json: rescale_every: expected an integer"}},
      {"an epsilon", "layer_norm_epsilon", -1, {"config.json: layer_norm_epsilon: expected 0 to 1"}},
      {"layers that are not there", "num_hidden_layers", 3,
       {"model.safetensors", "missing: rwkv.blocks.2.ln1.weight"}},
      {"layers too many", "num_hidden_layers", 1,
       {"model.safetensors", "does not call for: rwkv.blocks.1."}},
      {"a form of weights", "quantization_config", {{"quant_method", "gptq"}},
       {"config.json: quantization_config"}},
  };
  expect_all_refused("language/rwkv", cases);
}

}  // namespace
}  // namespace sumi::cli

// Folders as a family's first files had them: older keys and names, the same arithmetic.
#include <functional>

#include "formats/json.h"
#include "formats/temporary.h"
#include "reference.h"

namespace sumi::models {
namespace {

using Json = nlohmann::json;

// A case's weights under another configuration.
class Renamed {
 public:
  Renamed(const std::string& name, const Json& config) {
    const std::filesystem::path from(case_folder(name));
    std::filesystem::copy_file(from / "model.safetensors", folder_.file("model.safetensors"));
    folder_.write("config.json", config.dump());
  }
  LanguageModelFiles open() const {
    OpenOptions options;
    options.compute = ComputeType::f32;
    return open_language_model(folder_.path(), options);
  }

 private:
  formats::TemporaryFolder folder_;
};

void expect_logits(const LanguageModelFiles& files, const std::string& name) {
  const Expected expected(name);
  const std::vector<int32_t> prompt = expected.ids("prompt_ids");
  EXPECT_LE(relative_error(logits_in_pieces(*files.model, prompt, prompt.size()), expected.get("logits")),
            1e-4);
}

// The keys of tiiuae/falcon-40b and falcon-7b before transformers had Falcon, but for the sizes.
Json refined_web() {
  return {{"alibi", false},
          {"apply_residual_connection_post_layernorm", false},
          {"architectures", {"RWForCausalLM"}},
          {"bias", false},
          {"bos_token_id", 11},
          {"eos_token_id", 11},
          {"hidden_size", 32},
          {"layer_norm_epsilon", 1e-5},
          {"n_head", 4},
          {"n_layer", 2},
          {"parallel_attn", true},
          {"vocab_size", 131}};
}

TEST(FirstFiles, Falcon40bIsGrouped) {
  Json config = refined_web();
  config["model_type"] = "RefinedWeb";
  config["n_head_kv"] = 2;
  config["ffn_hidden_size"] = 56;  // of the case; the 40B's is 4 times the width
  const LanguageModelFiles files = Renamed("falcon_40b", config).open();
  EXPECT_EQ(files.architecture, "falcon");
  expect_logits(files, "falcon_40b");
}

TEST(FirstFiles, Falcon7bHasOneKeyAndValueHead) {
  Json config = refined_web();
  config["model_type"] = "RefinedWebModel";
  config["multi_query"] = true;
  expect_logits(Renamed("falcon_7b", config).open(), "falcon_7b");
  config.erase("architectures");
  expect_logits(Renamed("falcon_7b", config).open(), "falcon_7b");
}

TEST(FirstFiles, SantaCoderIsKnownByItsKeyAndRefusesOtherHeads) {
  Json config = formats::read_json_file(case_folder("santacoder") + "/config.json");
  config.erase("architectures");  // its model_type is GPT-2's
  const LanguageModelFiles files = Renamed("santacoder", config).open();
  EXPECT_EQ(files.architecture, "santacoder");
  expect_logits(files, "santacoder");
  config["architectures"] = {"GPT2LMHeadCustomModel"};
  config["attention_head_type"] = "multihead";
  formats::expect_mentions(formats::error_of([&] { Renamed("santacoder", config).open(); }),
                           "attention_head_type is \"multihead\", expected \"multiquery\"");
}

}  // namespace
}  // namespace sumi::models

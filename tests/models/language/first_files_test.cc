// Folders as a family's first files had them, or as models with pictures have their text model: other keys and names,
// the same arithmetic.
#include <functional>

#include "formats/json.h"
#include "formats/temporary.h"
#include "models/language/export.h"
#include "models/language/family.h"
#include "models/language/text_part.h"
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

// A folder's weights under other names.
void write_renamed(const std::string& name, const std::string& folder,
                   const std::function<std::string(const std::string&)>& renamed) {
  const formats::SafetensorsFile file(case_folder(name) + "/model.safetensors");
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const formats::TensorInfo& info : file.tensors())
    if (const std::string to = renamed(info.name); !to.empty())
      tensors.emplace_back(to, file.get(info.name));
  formats::write_safetensors(folder + "/model.safetensors", tensors, {{"format", "pt"}});
  std::filesystem::copy_file(case_folder(name) + "/config.json", folder + "/config.json",
                             std::filesystem::copy_options::overwrite_existing);
}

// The first published files of Gemma 3's 4B and larger ones.
std::string first_name(const std::string& name) {
  const std::string text = "model.language_model.";
  if (name.rfind(text, 0) == 0) return "language_model.model." + name.substr(text.size());
  if (name.rfind("model.", 0) == 0) return name.substr(6);
  return "language_model." + name;  // lm_head
}

TEST(TextPart, OpensUnderTheFirstNames) {
  for (const char* name : {"gemma3_pictures", "mistral3_pictures", "llava_pictures"}) {
    const formats::TemporaryFolder folder;
    write_renamed(name, folder.path(), first_name);
    OpenOptions options;
    options.compute = ComputeType::f32;
    expect_logits(open_language_model(folder.path(), options), name);
  }
}

// LLaVA has text models of several families, under either of the names.
TEST(TextPart, OfLlavaIsOfAFamilyOfItsOwn) {
  for (const char* name : {"llama", "mistral", "qwen2"}) {
    const Json text = formats::read_json_file(case_folder(name) + "/config.json");
    const Json config = {{"architectures", {"LlavaForConditionalGeneration"}},
                         {"model_type", "llava"},
                         {"text_config", text},
                         {"vision_config", {{"model_type", "clip_vision_model"}}}};
    for (const bool first : {false, true}) {
      const formats::TemporaryFolder folder;
      write_renamed(name, folder.path(), [first](const std::string& own) {
        if (first) return "language_model." + own;
        return own.rfind("model.", 0) == 0 ? "model.language_model." + own.substr(6) : own;
      });
      folder.write("config.json", config.dump());
      OpenOptions options;
      options.compute = ComputeType::f32;
      const LanguageModelFiles files = open_language_model(folder.path(), options);
      EXPECT_EQ(files.architecture, name);
      expect_logits(files, name);
    }
  }
}

TEST(TextPart, RefusesWeightsOfNeitherPart) {
  const formats::TemporaryFolder folder;
  const auto opened = [&](const std::function<std::string(const std::string&)>& renamed) {
    write_renamed("mistral3_pictures", folder.path(), renamed);
    return formats::error_of([&] { open_language_model(folder.path()); });
  };
  formats::expect_mentions(opened([](const std::string& name) {
                             return name == "model.vision_tower.ln_pre.weight" ? "model.audio.weight" : name;
                           }),
                           "tensor model.audio.weight is neither of the text model");
  formats::expect_mentions(
      opened([](const std::string& name) {
        return name == "model.vision_tower.ln_pre.weight" ? "language_model.model.norm.weight" : name;
      }),
      "tensors model.language_model.norm.weight and language_model.model.norm.weight have one place");
  formats::expect_mentions(opened([](const std::string& name) {
                             return name == "model.language_model.norm.weight" ? "" : name;
                           }),
                           "are missing: model.norm.weight");
}

DecoderSpec spec_of_part(const Config& whole, const char* family_name) {
  const Config config = text_part(whole);
  const Family& family = family_for(config);
  EXPECT_STREQ(family.name, family_name);
  const DecoderSpec spec = family.from_config(config);
  EXPECT_NO_THROW(check_spec(spec, config.file()));
  return spec;
}

// google/gemma-3-4b-it leaves out what transformers' configuration class has by itself.
TEST(TextPart, OfThePublished4bHasItsSizes) {
  const Config whole(
      {{"architectures", {"Gemma3ForConditionalGeneration"}},
       {"boi_token_index", 255999},
       {"eos_token_id", {1, 106}},
       {"image_token_index", 262144},
       {"mm_tokens_per_image", 256},
       {"model_type", "gemma3"},
       {"text_config",
        {{"hidden_size", 2560},
         {"intermediate_size", 10240},
         {"model_type", "gemma3_text"},
         {"num_hidden_layers", 34},
         {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
         {"sliding_window", 1024}}},
       {"vision_config", {{"hidden_size", 1152}, {"model_type", "siglip_vision_model"}}}},
      "config.json");
  ASSERT_TRUE(has_text_part(whole));
  const DecoderSpec spec = spec_of_part(whole, "gemma3");
  EXPECT_EQ(spec.vocab_size, 262208);
  EXPECT_EQ(spec.num_heads, 8);
  EXPECT_EQ(spec.num_kv_heads, 4);
  EXPECT_EQ(spec.head_dim, 256);
  EXPECT_EQ(spec.max_positions, 131072);
  EXPECT_EQ(spec.rope.theta, 1000000);
  EXPECT_EQ(spec.rope.factor, 8);
  EXPECT_EQ(spec.local_rope.theta, 10000);
  EXPECT_EQ(spec.windows[4], 1024);
  EXPECT_EQ(spec.windows[5], 0);
  EXPECT_TRUE(spec.tied_head);
  EXPECT_FLOAT_EQ(spec.attention_scale, 1.0f / 16);
}

// llava-hf/llava-1.5-7b-hf leaves out all sizes: they are LlamaConfig's own.
TEST(TextPart, OfLlava15HasItsSizes) {
  const Json text = {{"_name_or_path", "lmsys/vicuna-7b-v1.5"},
                     {"architectures", {"LlamaForCausalLM"}},
                     {"max_position_embeddings", 4096},
                     {"model_type", "llama"},
                     {"rms_norm_eps", 1e-5},
                     {"torch_dtype", "float16"},
                     {"vocab_size", 32064}};
  Json json = {{"architectures", {"LlavaForConditionalGeneration"}},
               {"image_token_index", 32000},
               {"model_type", "llava"},
               {"text_config", text},
               {"tie_word_embeddings", false},
               {"vision_config", {{"hidden_size", 1024}, {"model_type", "clip_vision_model"}}}};
  const DecoderSpec spec = spec_of_part(Config(json, "config.json"), "llama");
  EXPECT_EQ(spec.vocab_size, 32064);
  EXPECT_EQ(spec.hidden_size, 4096);
  EXPECT_EQ(spec.intermediate_size, 11008);
  EXPECT_EQ(spec.num_layers, 32);
  EXPECT_EQ(spec.num_heads, 32);
  EXPECT_EQ(spec.num_kv_heads, 32);
  EXPECT_EQ(spec.head_dim, 128);
  EXPECT_EQ(spec.max_positions, 4096);
  EXPECT_FALSE(spec.tied_head);

  // A null is no value that was left out, and other families' parts have no sizes of their own.
  const auto message = [&] {
    return formats::error_of([&] {
      const Config part = text_part(Config(json, "config.json"));
      family_for(part).from_config(part);
    });
  };
  json["text_config"]["hidden_size"] = nullptr;
  formats::expect_mentions(message(), "config.json: text_config: hidden_size");
  json["text_config"] = {{"model_type", "qwen3"}, {"vocab_size", 131}};
  formats::expect_mentions(message(), "config.json: text_config: hidden_size");
}

// Defaults differ between families: Mistral's and Qwen2's keys and contexts.
TEST(TextPart, HasTheDefaultsOfItsType) {
  const auto spec = [](const char* type) {
    return spec_of_part(Config({{"architectures", {"LlavaForConditionalGeneration"}}, {"text_config", {{"model_type", type}}}},
                               "config.json"),
                        type);
  };
  const DecoderSpec mistral = spec("mistral"), qwen2 = spec("qwen2");
  EXPECT_EQ(mistral.intermediate_size, 14336);
  EXPECT_EQ(mistral.num_kv_heads, 8);
  EXPECT_EQ(mistral.max_positions, 131072);
  EXPECT_EQ(mistral.windows, std::vector<int64_t>(32, 4096));
  EXPECT_EQ(qwen2.vocab_size, 151936);
  EXPECT_EQ(qwen2.intermediate_size, 22016);
  EXPECT_EQ(qwen2.num_kv_heads, 32);
  EXPECT_EQ(qwen2.max_positions, 32768);
}

TEST(TextPart, IsNamedWhereItIsMissingOrQuantized) {
  const auto message = [](const Json& json) {
    return formats::error_of([&] { text_part(Config(json, "config.json")); });
  };
  const Json names = {"Gemma3ForConditionalGeneration"};
  formats::expect_mentions(message({{"architectures", names}}), "config.json: text_config");
  formats::expect_mentions(
      message({{"architectures", names}, {"text_config", {{"quantization_config", {{"bits", 4}}}}}}),
      "config.json: text_config: quantization_config");
}

// A trained or merged model is its text model, in a folder that transformers opens as one.
TEST(TextPart, IsWrittenAsAFolderOfItsOwn) {
  for (const char* name : {"gemma3_pictures", "mistral3_pictures", "llava_pictures", "llava_mistral_pictures"}) {
    const formats::TemporaryFolder folder;
    const LanguageModelFiles files = open_case(name, ComputeType::f32, true);
    write_model_folder(*files.model, case_folder(name), folder.path(), DType::f32, "");
    const Json config = formats::read_json_file(folder.file("config.json"));
    EXPECT_FALSE(config.contains("text_config"));
    EXPECT_EQ(config["architectures"][0], std::string(name) == "gemma3_pictures"  ? "Gemma3ForCausalLM"
                                          : std::string(name) == "llava_pictures" ? "LlamaForCausalLM"
                                                                                  : "MistralForCausalLM");
    OpenOptions options;
    options.compute = ComputeType::f32;
    expect_logits(open_language_model(folder.path(), options), name);
  }
}

}  // namespace
}  // namespace sumi::models

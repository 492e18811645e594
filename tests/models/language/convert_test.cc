#include "models/language/convert.h"

#include <unistd.h>

#include "base/error.h"
#include "formats/gguf.h"
#include "kernels/dequantize.h"
#include "models/language/reference.h"

namespace sumi::models {
namespace {

class Temporary {
 public:
  Temporary() {
    std::string name = (std::filesystem::temp_directory_path() / "sumi-convert-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~Temporary() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  bool empty() const { return std::filesystem::is_empty(path_); }

 private:
  std::string path_;
};

Tensor logits(const std::string& path, const std::vector<int32_t>& ids) {
  OpenOptions options;
  options.compute = ComputeType::f32;
  const LanguageModelFiles files = open_language_model(path, options);
  const auto state = files.model->new_state();
  return files.model->forward(ids, *state, LogitsFor::all);
}

class ConvertCase : public testing::TestWithParam<const char*> {};

TEST_P(ConvertCase, ToGgufAndSafetensorsGivesTheSameLogits) {
  const std::string name = GetParam();
  const Temporary folder;
  std::vector<int32_t> ids(40);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(3 * i + 1);
  const Tensor expected = logits(case_folder(name), ids);
  ConvertOptions options;
  options.dtype = DType::f32;
  const ConvertReport report = convert_to_gguf(case_folder(name), folder / "m.gguf", options);
  EXPECT_GT(report.tensors, 10);
  EXPECT_LT(relative_error(logits(folder / "m.gguf", ids), expected), 1e-6);
  convert_to_safetensors(case_folder(name), folder / "copy", options);
  EXPECT_LT(relative_error(logits(folder / "copy", ids), expected), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Families, ConvertCase,
                         testing::Values("llama", "llama_llama3", "llama_linear", "llama_yarn",
                                         "llama_sharded", "llama_tied_bin", "mistral", "mistral3_pictures",
                                         "llava_pictures", "llava_mistral_pictures", "yi",
                                         "qwen", "qwen2", "qwen3", "smollm3", "gpt2", "gpt2_bin",
                                         "gpt_neox", "gpt_bigcode", "gpt_bigcode_heads",
                                         "santacoder",
                                         "starcoder2", "gemma", "gemma2_head_scale",
                                         "gemma3_head_scale", "phi", "phi_grouped", "phi3",
                                         "phi3_longrope", "bloom", "mpt", "mpt_normed",
                                         "falcon_7b", "falcon_40b", "glm", "glm4", "glm_tied",
                                         "chatglm2", "baichuan_7b", "baichuan_13b_deep",
                                         "internlm", "internlm2", "olmo", "olmo2"),
                         [](const auto& info) { return std::string(info.param); });

class ConvertBack : public testing::TestWithParam<const char*> {};

TEST_P(ConvertBack, AFolderFromAGgufFileGivesTheSameLogits) {
  const std::string name = GetParam();
  const Temporary folder;
  std::vector<int32_t> ids(40);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(3 * i + 1);
  ConvertOptions options;
  options.dtype = DType::f32;
  convert_to_gguf(case_folder(name), folder / "m.gguf", options);
  const ConvertReport report = gguf_to_folder(folder / "m.gguf", folder / "back", {});
  EXPECT_GT(report.tensors, 10);
  EXPECT_LT(relative_error(logits(folder / "back", ids), logits(case_folder(name), ids)), 1e-5);
  EXPECT_FALSE(std::filesystem::exists(folder / "back.unfinished"));
}

INSTANTIATE_TEST_SUITE_P(Families, ConvertBack,
                         testing::Values("llama", "llama_linear", "llama_yarn", "llama_tied_bin",
                                         "mistral", "internlm", "qwen2", "qwen3", "smollm3",
                                         "gemma", "gemma2_head_scale", "gemma3_head_scale", "phi",
                                         "phi3", "phi3_longrope", "starcoder2", "glm_tied", "glm4",
                                         "olmo", "olmo2"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Convert, AFolderThatCannotBeWrittenIsNamed) {
  const Temporary folder;
  convert_to_gguf(case_folder("gpt2"), folder / "m.gguf", {});
  try {
    gguf_to_folder(folder / "m.gguf", folder / "back", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("architecture gpt2 is not known"), std::string::npos)
        << error.what();
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "back"));
  EXPECT_FALSE(std::filesystem::exists(folder / "back.unfinished"));
}

// What is true of a file written in one step is true of one recoded.
TEST(Convert, RecodingAGgufFileIsAsGoodAsConverting) {
  const Temporary folder;
  ConvertOptions options;
  options.dtype = DType::f32;
  convert_to_gguf(case_folder("llama"), folder / "f32.gguf", options);
  for (const DType dtype : {DType::q8_0, DType::f16, DType::bf16}) {
    SCOPED_TRACE(dtype_name(dtype));
    options.dtype = dtype;
    options.overwrite = true;
    convert_to_gguf(case_folder("llama"), folder / "once.gguf", options);
    const ConvertReport report = recode_gguf(folder / "f32.gguf", folder / "twice.gguf", options);
    const formats::GgufFile once(folder / "once.gguf"), twice(folder / "twice.gguf");
    EXPECT_EQ(report.tensors, static_cast<int64_t>(once.tensors().size()));
    EXPECT_EQ(once.keys().size(), twice.keys().size());
    for (const formats::TensorInfo& info : once.tensors()) {
      const Tensor a = once.get(info.name), b = twice.get(info.name);
      ASSERT_EQ(a.dtype(), b.dtype()) << info.name;
      EXPECT_EQ(std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.nbytes())), 0)
          << info.name;
    }
  }
}

TEST(Convert, WhatGgufCannotExpressIsNamedAndLeavesNothing) {
  const std::pair<const char*, const char*> cases[] = {
      {"llama_dynamic", "dynamic"},
      {"llama_bias", "GGUF cannot express this model: the activation"},
      {"gemma2", "GGUF cannot express this model: the attention's scale"},
      {"gemma3", "GGUF cannot express this model: the attention's scale"},
      {"falcon_rw", "one name, blk.0.attn_norm, for two of its tensors"},
      {"baichuan_13b", "GGUF cannot express this model: the kind of positions"},
      {"gptj", "GGUF has no architecture for gptj"}};
  for (const auto& [name, part] : cases) {
    const Temporary folder;
    try {
      convert_to_gguf(case_folder(name), folder / "m.gguf", {});
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
    EXPECT_TRUE(folder.empty()) << name;
  }
}

TEST(Convert, AFileThatIsThereIsKept) {
  const Temporary folder;
  convert_to_gguf(case_folder("llama"), folder / "m.gguf", {});
  EXPECT_THROW(convert_to_gguf(case_folder("llama"), folder / "m.gguf", {}), Error);
  ConvertOptions options;
  options.overwrite = true;
  EXPECT_NO_THROW(convert_to_gguf(case_folder("llama"), folder / "m.gguf", options));
  EXPECT_THROW(convert_to_gguf(case_folder("llama"), folder / "no/m.gguf", {}), Error);
}

struct BlockCase {
  DType dtype;
  void (*decode)(const std::byte*, int64_t, float*);
  float steps;  // codes between a block's smallest and largest value
};

// Half a step and a little for scales in f16; a whole step where q4_0 and q5_0 lack the last code
// on one side.
TEST(Convert, BlocksAreRoundedToNearest) {
  const BlockCase cases[] = {{DType::q4_0, kernels::dequantize_q4_0, 16},
                             {DType::q4_1, kernels::dequantize_q4_1, 15},
                             {DType::q5_0, kernels::dequantize_q5_0, 32},
                             {DType::q5_1, kernels::dequantize_q5_1, 31},
                             {DType::q8_0, kernels::dequantize_q8_0, 254}};
  const formats::SafetensorsFile source(case_folder("llama") + "/model.safetensors");
  const Tensor plain = source.get("model.layers.0.self_attn.v_proj.weight").to(DType::f32);
  for (const BlockCase& test : cases) {
    SCOPED_TRACE(dtype_name(test.dtype));
    const Temporary folder;
    ConvertOptions options;
    options.dtype = test.dtype;
    convert_to_gguf(case_folder("llama"), folder / "m.gguf", options);
    const formats::GgufFile file(folder / "m.gguf");
    const Tensor blocks = file.get("blk.0.attn_v.weight");
    ASSERT_EQ(blocks.dtype(), test.dtype);
    std::vector<float> values(static_cast<size_t>(plain.numel()));
    test.decode(blocks.bytes(), plain.numel(), values.data());
    const bool symmetric = test.dtype != DType::q4_1 && test.dtype != DType::q5_1;
    for (int64_t block = 0; block < plain.numel(); block += 32) {
      const float* x = plain.f32() + block;
      const auto [low, high] = std::minmax_element(x, x + 32);
      const float range =
          symmetric ? 2 * std::max(std::fabs(*low), std::fabs(*high)) : *high - *low;
      const float half_step = range / test.steps / (test.steps == 16 || test.steps == 32 ? 1 : 2);
      for (int i = 0; i < 32; ++i)
        EXPECT_LE(std::fabs(values[static_cast<size_t>(block + i)] - x[i]),
                  1.01f * half_step + 1e-3f * range);
    }
  }
}

TEST(Convert, RowsThatAreNoWholeBlocksStayF16) {
  const Temporary folder;
  ConvertOptions options;
  options.dtype = DType::q8_0;
  const ConvertReport report = convert_to_gguf(case_folder("llama"), folder / "m.gguf", options);
  EXPECT_GT(report.kept, 0);
  const std::vector<int32_t> ids = Expected("llama").ids("prompt_ids");
  EXPECT_LT(relative_error(logits(folder / "m.gguf", ids), logits(case_folder("llama"), ids)),
            0.05);
}

}  // namespace
}  // namespace sumi::models

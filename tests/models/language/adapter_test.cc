// Adapters that were made over a whole model with pictures (tools/reference/whole_adapter.py).
#include <functional>

#include "formats/temporary.h"
#include "models/language/convert.h"
#include "models/language/export.h"
#include "models/language/text_part.h"
#include "nn/lora_file.h"
#include "reference.h"

namespace sumi::models {
namespace {

const std::string kCase = "llava_pictures";

// Another adapter of the same matrices: with their names changed, or left out where that gives "".
void write_adapter(const std::string& folder, const std::function<std::string(const std::string&)>& renamed) {
  const std::string from = case_folder(kCase + "/adapter");
  std::filesystem::copy_file(from + "/adapter_config.json", folder + "/adapter_config.json",
                             std::filesystem::copy_options::overwrite_existing);
  const formats::SafetensorsFile file(from + "/adapter_model.safetensors");
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const formats::TensorInfo& info : file.tensors())
    if (const std::string to = renamed(info.name); !to.empty()) tensors.emplace_back(to, file.get(info.name));
  formats::write_safetensors(folder + "/adapter_model.safetensors", tensors, {{"format", "pt"}});
}

std::string replaced(std::string name, const std::string& before, const std::string& after) {
  const size_t at = name.find(before);
  return at == std::string::npos ? name : name.replace(at, before.size(), after);
}

LanguageModelFiles open_f32(const std::string& path, nn::LoraFile* adapter) {
  OpenOptions options;
  options.compute = ComputeType::f32;
  if (adapter) {
    options.lora = adapter->packed();
    options.token_rows = adapter->token_rows();
  }
  LanguageModelFiles files = open_language_model(path, options);
  if (adapter) adapter->check_all_used();
  return files;
}

void expect_adapted(const LanguageModelFiles& files) {
  const Expected expected(kCase + "/adapter");
  const std::vector<int32_t> prompt = expected.ids("prompt_ids");
  EXPECT_LE(relative_error(logits_in_pieces(*files.model, prompt, prompt.size()), expected.get("logits")), 1e-4);
}

TEST(WholeAdapter, ChangesTheTextModelAsPeftDoes) {
  nn::LoraFile adapter(case_folder(kCase + "/adapter"), text_part_module);
  expect_adapted(open_f32(case_folder(kCase), &adapter));
}

// As before transformers 4.52, and as Sumi writes adapters of a text part.
TEST(WholeAdapter, OpensUnderOtherNames) {
  const std::string whole = "base_model.model.model.", text = "model.language_model.";
  const formats::TemporaryFolder folder;
  write_adapter(folder.path(), [&](const std::string& name) {
    if (name.find(text) != std::string::npos) return replaced(name, text, "language_model.model.");
    return replaced(name, whole, "base_model.model.");
  });
  nn::LoraFile first(folder.path(), text_part_module);
  expect_adapted(open_f32(case_folder(kCase), &first));
  write_adapter(folder.path(), [&](const std::string& name) {
    return name.find(text) == std::string::npos ? "" : replaced(name, text, "model.");
  });
  nn::LoraFile own(folder.path(), text_part_module);
  expect_adapted(open_f32(case_folder(kCase), &own));
}

// The text model in a file of its own takes it, too; merged, it is such a folder.
TEST(WholeAdapter, IsOfAFileOfTheTextModelAndMerged) {
  const formats::TemporaryFolder folder;
  ConvertOptions options;
  options.dtype = DType::f32;
  convert_to_gguf(case_folder(kCase), folder.file("m.gguf"), options);
  nn::LoraFile adapter(case_folder(kCase + "/adapter"), text_part_module);
  expect_adapted(open_f32(folder.file("m.gguf"), &adapter));
  merge_adapter(case_folder(kCase), case_folder(kCase + "/adapter"), folder.file("merged"), DType::f32);
  expect_adapted(open_f32(folder.file("merged"), nullptr));
}

TEST(WholeAdapter, TwoNamesForOneModuleAndNoneForTextAreErrors) {
  const formats::TemporaryFolder folder;
  const auto opened = [&](const std::function<std::string(const std::string&)>& renamed) {
    write_adapter(folder.path(), renamed);
    return formats::error_of([&] { nn::LoraFile(folder.path(), text_part_module); });
  };
  formats::expect_mentions(opened([](const std::string& name) {
                             return replaced(name, "language_model.layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj");
                           }),
                           "module model.layers.1.self_attn.q_proj has one already");
  formats::expect_mentions(opened([](const std::string& name) {
                             return name.find("language_model") == std::string::npos ? name : "";
                           }),
                           "there are no adapters but of layers that are not run");
}

}  // namespace
}  // namespace sumi::models

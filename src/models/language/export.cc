#include "models/language/export.h"

#include <filesystem>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "models/language/family.h"
#include "models/language/open.h"
#include "models/language/text_part.h"
#include "nn/lora_file.h"

namespace sumi::models {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json",    "tokenizer_config.json", "special_tokens_map.json",
    "chat_template.jinja", "generation_config.json", "added_tokens.json",
    "vocab.json",        "merges.txt",            "tokenizer.model"};

const char* torch_name(DType dtype) {
  return dtype == DType::f32 ? "float32" : dtype == DType::f16 ? "float16" : "bfloat16";
}

}  // namespace

void check_exportable(const std::string& path, const std::string& purpose) {
  if (!formats::file_exists(path + "/config.json"))
    fail("{}: {} needs a Hugging Face folder (config.json), not a GGUF file", path, purpose);
}

void copy_tokenizer_files(const std::string& source, const std::string& folder) {
  std::error_code error;
  for (const char* name : kTokenizerFiles) {
    const std::string from = source + "/" + name, to = folder + "/" + name;
    if (!formats::file_exists(from) || fs::equivalent(from, to, error)) continue;
    fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
    if (error) fail("{}: cannot copy: {}", from, error.message());
  }
}

void write_model_folder(const LanguageModel& model, const std::string& source,
                        const std::string& folder, DType dtype, const std::string& tokenizer) {
  check_exportable(source, "writing a model");
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail("{}: cannot make the folder: {}", folder, error.message());
  if (fs::equivalent(source, folder, error))
    fail("{}: is the model itself; give another folder", folder);
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const auto& [name, tensor] : model.exported_parameters())
    tensors.emplace_back(name, tensor.to(dtype));
  if (tensors.empty()) fail("{}: the model was packed and cannot be written", source);
  formats::write_safetensors(folder + "/model.safetensors", tensors, {{"format", "pt"}});
  copy_tokenizer_files(source, folder);
  if (!tokenizer.empty()) copy_tokenizer_files(tokenizer, folder);
  nlohmann::ordered_json config =
      nlohmann::ordered_json::parse(formats::read_text_file(source + "/config.json"));
  if (const Config whole = Config::read(source + "/config.json"); has_text_part(whole)) {
    const Config text = text_part(whole);  // whose weights alone are written
    config = nlohmann::ordered_json::parse(text.json().dump());
    config["architectures"] = {family_for(text).architectures[0]};
    config["vocab_size"] = model.vocab_size();
  }
  config[config.contains("dtype") ? "dtype" : "torch_dtype"] = torch_name(dtype);
  const char* rows = config.contains("padded_vocab_size") ? "padded_vocab_size" : "vocab_size";
  if (config.contains(rows)) config[rows] = model.vocab_size();
  formats::write_text_file(folder + "/config.json", config.dump(2) + "\n");
}

void merge_adapter(const std::string& model, const std::string& adapter, const std::string& folder,
                   DType dtype) {
  const std::string path = resolve_model(model);
  check_exportable(path, "merging an adapter");
  nn::LoraFile file(adapter, text_part_module);
  OpenOptions options;
  options.trainable = true;
  options.edit = [&](const nn::LoraSite& site, Tensor& weight) { file.merge_into(site, weight); };
  options.token_rows = file.token_rows();
  const LanguageModelFiles files = open_language_model(model, options);
  file.check_all_used();
  write_model_folder(*files.model, path, folder, dtype, adapter);
}

}  // namespace sumi::models

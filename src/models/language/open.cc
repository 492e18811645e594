#include "models/language/open.h"

#include <filesystem>

#include "base/error.h"
#include "formats/gguf.h"
#include "formats/torch_file.h"
#include "formats/weights_folder.h"
#include "models/language/decoder.h"
#include "models/language/family.h"
#include "models/language/rwkv/rwkv.h"
#include "models/language/rwkv/rwkv_tokenizer.h"
#include "models/language/t5/t5.h"
#include "models/language/t5/t5_gguf.h"
#include "models/language/text_part.h"

namespace sumi::models {

namespace {

nn::LoadOptions load_options(const OpenOptions& options) {
  nn::LoadOptions load;
  load.trainable = options.trainable;
  load.frozen = options.frozen;
  load.separate_parts = options.separate_parts;
  load.products = options.products;
  load.lora = options.lora;
  load.token_rows = options.token_rows;
  load.edit = options.edit;
  load.progress = options.progress;
  switch (options.compute) {
    case ComputeType::automatic:
      load.compute = ops::PackedWeight::Compute::stored;
      break;
    case ComputeType::f32:
      load.compute = ops::PackedWeight::Compute::f32;
      break;
    case ComputeType::bf16:
      load.compute = ops::PackedWeight::Compute::bf16;
      break;
  }
  return load;
}

GenerationDefaults read_defaults(const std::string& folder) {
  GenerationDefaults defaults;
  const std::string path = folder + "/generation_config.json";
  if (!formats::file_exists(path)) return defaults;
  const Config config = Config::read(path);
  const bool sampling = config.has("temperature") || config.has("top_p") || config.has("top_k");
  if (!sampling && !config.has("do_sample") && !config.has("repetition_penalty")) return defaults;
  // What is absent has transformers' default.
  defaults.from_file = true;
  defaults.temperature = config.get_float("temperature", 1.0);
  defaults.top_p = config.get_float("top_p", 1.0);
  defaults.top_k = config.get_int("top_k", 50);
  defaults.repetition_penalty = config.get_float("repetition_penalty", 1.0);
  if (!config.get_bool("do_sample", sampling)) defaults.temperature = 0;
  return defaults;
}

LanguageModelFiles open_folder(const std::string& folder, const OpenOptions& options) {
  LanguageModelFiles files;
  const Config whole = Config::read(folder + "/config.json");
  const Config config = text_part(whole);
  if (is_t5(config)) {
    files.architecture = "t5";
    const T5Spec spec = t5_spec(config);
    files.model = std::make_unique<T5>(spec, *formats::open_weights_folder(folder), false,
                                       load_options(options));
  } else if (is_rwkv(config)) {
    files.architecture = "rwkv";
    files.model = std::make_unique<Rwkv>(rwkv_spec(config), *formats::open_weights_folder(folder),
                                         load_options(options));
  } else {
    const Family& family = family_for(config);
    files.architecture = family.name;
    const DecoderSpec spec = family.from_config(config);
    check_spec(spec, config.file());
    files.model = std::make_unique<Decoder>(
        spec, family.weights, *open_text_weights(whole, folder), false, load_options(options));
  }
  if (text::has_tokenizer(folder)) files.tokenizer = text::open_tokenizer(folder);
  files.defaults = read_defaults(folder);
  return files;
}

LanguageModelFiles open_gguf(const std::string& path, const OpenOptions& options) {
  LanguageModelFiles files;
  const formats::GgufFile file(path);
  const auto open_tokenizer = [&] {
    if (file.get_string("tokenizer.ggml.model", "none") != "none")
      files.tokenizer = text::tokenizer_from_gguf(file);
    file.release_header();  // a vocabulary is megabytes of strings
  };
  if (is_t5(file)) {
    files.architecture = "t5";
    const T5Spec spec = t5_spec(file);
    open_tokenizer();
    files.model = std::make_unique<T5>(spec, file, true, load_options(options));
    return files;
  }
  const Family& family = family_for(file);
  files.architecture = family.name;
  open_tokenizer();
  files.model = std::make_unique<Decoder>(family.from_gguf(file), family.weights, file, true,
                                          load_options(options));
  return files;
}

// A checkpoint without a configuration: RWKV's author writes such.
LanguageModelFiles open_torch_file(const std::string& path, const OpenOptions& options) {
  LanguageModelFiles files;
  const formats::TorchFile file(path);
  if (!is_rwkv(file))
    fail(
        "{}: of PyTorch files alone only RWKV's can be opened, which begin with emb.weight and "
        "blocks.0.ln0.weight; other models need the folder with their config.json",
        path);
  const RwkvSpec spec = rwkv_spec(file);
  files.architecture = "rwkv";
  files.model = std::make_unique<Rwkv>(spec, file, load_options(options));
  files.tokenizer = rwkv_tokenizer_beside(path, spec.vocab_size);
  return files;
}

}  // namespace

LanguageModelFiles open_language_model(const std::string& model, const OpenOptions& options) {
  const std::string path = resolve_model(model);
  std::error_code error;
  LanguageModelFiles files = std::filesystem::is_directory(path, error) ? open_folder(path, options)
                             : formats::TorchFile::recognizes(path) ? open_torch_file(path, options)
                                                                    : open_gguf(path, options);
  if (!options.tokenizer.empty()) files.tokenizer = text::open_tokenizer_file(options.tokenizer);
  files.path = path;
  return files;
}

std::unique_ptr<text::Tokenizer> open_file_tokenizer(const std::string& path) {
  if (!formats::TorchFile::recognizes(path))
    return text::tokenizer_from_gguf(formats::GgufFile(path));
  const int64_t vocab_size = rwkv_spec(formats::TorchFile(path)).vocab_size;
  std::unique_ptr<text::Tokenizer> tokenizer = rwkv_tokenizer_beside(path, vocab_size);
  if (!tokenizer) fail("{}: there is no tokenizer beside it", path);
  return tokenizer;
}

}  // namespace sumi::models

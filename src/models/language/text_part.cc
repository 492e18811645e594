#include "models/language/text_part.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "formats/weights_folder.h"
#include "models/language/families/families.h"
#include "models/language/family.h"

namespace sumi::models {

namespace {

bool contains(const std::vector<const char*>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// The name in a folder of the text model's own; "" if it is not the text model's. transformers 4.52 moved the prefix.
std::string own_name(std::string_view name) {
  const auto without = [&](std::string_view prefix) { return std::string(name.substr(prefix.size())); };
  if (name.starts_with("language_model.")) return without("language_model.");
  if (name.starts_with("model.language_model.")) return "model." + without("model.language_model.");
  return name.starts_with("lm_head.") ? std::string(name) : "";
}

bool is_for_pictures(std::string_view name) {
  if (name.starts_with("model.")) name.remove_prefix(6);
  return name.starts_with("vision_tower.") || name.starts_with("multi_modal_projector.");
}

}  // namespace

bool has_text_part(const Config& config) {
  const TextWrappers& wrappers = text_wrappers();
  const std::vector<std::string> names = config.get_strings("architectures");
  if (names.empty()) return contains(wrappers.model_types, config.get_string("model_type", ""));
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return contains(wrappers.architectures, name); });
}

Config text_part(const Config& config) {
  check_runnable(config);
  if (!has_text_part(config)) return config;
  nlohmann::json part = config.get_object("text_config").json();
  for (const char* key : {"tie_word_embeddings", "vocab_size", "bos_token_id", "eos_token_id", "pad_token_id"})
    if (!formats::has_field(part, key) && config.has(key)) part[key] = config.json().at(key);
  const std::string type = config.get_object("text_config").get_string("model_type", "");
  const nlohmann::json defaults = text_wrappers().defaults.value(type, nlohmann::json::object());
  for (const auto& [key, value] : defaults.items())
    if (!part.contains(key)) part[key] = value;
  const Config text(std::move(part), config.file() + ": text_config");
  check_runnable(text);
  return text;
}

std::string text_part_module(const std::string& module) {
  if (is_for_pictures(module)) return "";
  const std::string own = own_name(module);
  return own.empty() ? module : own;
}

TextPartTensors::TextPartTensors(const formats::TensorSource& source) : source_(source) {
  for (const formats::TensorInfo& info : source_.tensors()) {
    const std::string own = own_name(info.name);
    if (!own.empty()) {
      if (!names_.emplace(own, info.name).second)
        fail("{}: tensors {} and {} have one place in the text model", source_.describe(),
             names_.at(own), info.name);
      tensors_.push_back(info);
      tensors_.back().name = own;
    } else if (is_for_pictures(info.name)) {
      unused_.push_back(info);
    } else {
      fail("{}: tensor {} is neither of the text model (language_model., model.language_model., lm_head.) nor for "
           "pictures (vision_tower., multi_modal_projector.)",
           source_.describe(), info.name);
    }
  }
}

TextPartTensors::TextPartTensors(std::unique_ptr<formats::TensorSource> source)
    : TextPartTensors(*source) {
  owned_ = std::move(source);
}

Tensor TextPartTensors::get(const std::string& name) const {
  const auto found = names_.find(name);
  if (found == names_.end()) fail("{}: the text model has no tensor {}", describe(), name);
  return source_.get(found->second);
}

void TextPartTensors::release(const std::string& name) const {
  const auto found = names_.find(name);
  source_.release(found == names_.end() ? name : found->second);
}

std::unique_ptr<formats::TensorSource> open_text_weights(const Config& config,
                                                         const std::string& folder) {
  auto source = formats::open_weights_folder(folder);
  if (!has_text_part(config)) return source;
  return std::make_unique<TextPartTensors>(std::move(source));
}

}  // namespace sumi::models

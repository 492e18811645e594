#include "models/language/families/families.h"

#include "base/error.h"
#include "models/language/family.h"

namespace sumi::models {

namespace {

bool meets_condition(const Family& family, const Config& config) {
  return family.condition == nullptr || family.condition(config);
}

bool contains(const std::vector<const char*>& list, const std::string& value) {
  for (const char* entry : list)
    if (value == entry) return true;
  return false;
}

std::string known(std::vector<const char*> Family::* list) {
  std::string names;
  for (const Family& family : families())
    for (const char* name : family.*list) names += (names.empty() ? "" : ", ") + std::string(name);
  return names;
}

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      llama_family(),      mistral_family(), qwen2_family(),    qwen3_family(),
      smollm3_family(),    gemma_family(),   gemma2_family(),   gemma3_family(),
      phi_family(),        phi3_family(),    santacoder_family(), gpt2_family(),
      gpt_neox_family(),
      gpt_j_family(),      codegen_family(), falcon_family(),   mpt_family(),
      bloom_family(),      bert_family(),    roberta_family(),  gpt_bigcode_family(),
      starcoder2_family(), opt_family(),     chatglm_family(),  chatglm2_family(),
      glm_family(),        glm4_family(),    baichuan_family(), internlm_family(),
      internlm2_family(),  qwen_family(),    olmo_family(),     olmo2_family(),
      yi_family()};
  return all;
}

const Family& family_for(const Config& config) {
  const std::vector<std::string> architectures = config.get_strings("architectures");
  for (const Family& family : families())
    for (const std::string& name : architectures)
      if (contains(family.architectures, name) && meets_condition(family, config)) return family;
  const std::string model_type = config.get_string("model_type", "");
  if (architectures.empty())
    for (const Family& family : families())
      if (contains(family.model_types, model_type) && meets_condition(family, config))
        return family;
  if (architectures.empty())
    fail("{}: model_type \"{}\" is not known; known: {}", config.file(), model_type,
         known(&Family::model_types));
  fail("{}: architecture \"{}\" is not known; known: {}", config.file(), architectures[0],
       known(&Family::architectures));
}

const Family& family_for(const formats::GgufFile& file) {
  const std::string& name = file.get_string("general.architecture");
  for (const Family& family : families())
    if (contains(family.gguf_architectures, name)) return family;
  fail("{}: general.architecture \"{}\" is not known; known: {}", file.describe(), name,
       known(&Family::gguf_architectures));
}

}  // namespace sumi::models

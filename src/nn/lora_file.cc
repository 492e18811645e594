#include "nn/lora_file.h"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "kernels/onednn.h"

namespace sumi::nn {
namespace {

constexpr const char* kConfigFile = "/adapter_config.json";
constexpr const char* kWeightsFile = "/adapter_model.safetensors";
const std::string kPrefix = "base_model.model.";
const std::string kA = ".lora_A.weight", kB = ".lora_B.weight";

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Options that change what an adapter means and are not known here must be off.
void refuse_unknown(const nlohmann::json& config, const std::string& path) {
  const std::string type = formats::require_string(config, "peft_type", path);
  if (type != "LORA") fail("{}: peft_type: expected LORA, found {}", path, type);
  if (formats::optional_bool(config, "use_dora", false, path))
    fail("{}: use_dora: DoRA adapters are not known", path);
  if (const std::string bias = formats::optional_string(config, "bias", "none", path);
      bias != "none")
    fail("{}: bias: expected none, found {}", path, bias);
  for (const char* key : {"rank_pattern", "alpha_pattern"})
    if (formats::has_field(config, key) && !config.at(key).empty())
      fail("{}: {}: ranks that differ between layers are not known", path, key);
  if (const char* key = "modules_to_save";
      formats::has_field(config, key) && !config.at(key).empty())
    fail("{}: {}: whole modules beside A and B are not known", path, key);
}

// The first id of the tokens whose rows a module stores, `count` of them: trainable_token_indices has them
// by the end of the module's name, or as one list for the embedding.
int64_t first_token(const nlohmann::json& config, const std::string& module, int64_t count,
                    const std::string& path) {
  const char* key = "trainable_token_indices";
  nlohmann::json lists = formats::require_field(config, key, path);
  if (lists.is_array()) lists = {{module, lists}};
  for (const auto& [name, list] : lists.items()) {
    if (module != name && !ends_with(module, "." + name)) continue;
    const std::vector<int64_t> ids = formats::require_ints(lists, name, path);
    bool consecutive = static_cast<int64_t>(ids.size()) == count && count > 0 && ids[0] >= 0;
    for (size_t i = 1; i < ids.size(); ++i) consecutive = consecutive && ids[i] == ids[i - 1] + 1;
    if (!consecutive)
      fail("{}: {}: {}: expected {} ids that follow each other, found {}", path, key, name, count,
           list.dump());
    return ids[0];
  }
  fail("{}: {}: there are no ids for {}", path, key, module);
}

std::vector<std::string> targets_of(const nlohmann::json& config, const std::string& path) {
  const nlohmann::json& targets = formats::require_field(config, "target_modules", path);
  if (targets.is_string()) return {targets.get<std::string>()};
  return formats::require_strings(config, "target_modules", path);
}

}  // namespace

float LoraConfig::scale() const {
  const double r = static_cast<double>(rank);
  return static_cast<float>(alpha / (rank_stabilised ? std::sqrt(r) : r));
}

bool is_target(const LoraConfig& config, const std::string& module) {
  for (const std::string& target : config.targets)
    if (module == target || ends_with(module, "." + target)) return true;
  return false;
}

void write_lora(const std::string& folder, const LoraConfig& config,
                const std::vector<std::pair<std::string, LoraMatrices>>& modules,
                const std::vector<std::pair<std::string, TokenRows>>& tokens) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const auto& [module, matrices] : modules) {
    tensors.emplace_back(kPrefix + module + kA, matrices.a);
    tensors.emplace_back(kPrefix + module + kB, matrices.b);
  }
  nlohmann::ordered_json token_ids = nlohmann::ordered_json::object();
  for (const auto& [module, added] : tokens) {
    tensors.emplace_back(kPrefix + module + kTokenRows, added.rows);
    std::vector<int64_t> ids(static_cast<size_t>(added.rows.size(0)));
    std::iota(ids.begin(), ids.end(), added.begin);
    token_ids[module.substr(module.rfind('.') + 1)] = ids;
  }
  formats::write_safetensors(folder + kWeightsFile, tensors, {{"format", "pt"}});
  nlohmann::ordered_json json = {
      {"peft_type", "LORA"},
      {"task_type", "CAUSAL_LM"},
      {"base_model_name_or_path", config.base_model},
      {"r", config.rank},
      {"lora_alpha", config.alpha},
      {"lora_dropout", config.dropout},
      {"use_rslora", config.rank_stabilised},
      {"target_modules", config.targets},
      {"bias", "none"},
      {"fan_in_fan_out", config.transposed_base},
      {"init_lora_weights", true},
      {"inference_mode", true}};
  if (!tokens.empty()) json["trainable_token_indices"] = token_ids;
  formats::write_text_file(folder + kConfigFile, json.dump(2) + "\n");
}

LoraFile::LoraFile(const std::string& folder,
                   const std::function<std::string(const std::string&)>& own_name)
    : folder_(folder) {
  const std::string path = folder + kConfigFile;
  if (!formats::file_exists(path)) fail("{}: no adapter_config.json: not an adapter", folder);
  const nlohmann::json config = formats::read_json_file(path);
  if (!config.is_object()) fail("{}: expected an object, found {}", path, config.type_name());
  refuse_unknown(config, path);
  config_.rank = formats::require_int(config, "r", path);
  if (config_.rank < 1) fail("{}: r: expected 1 or more, found {}", path, config_.rank);
  config_.alpha = formats::optional_float(config, "lora_alpha", 8, path);
  config_.dropout = formats::optional_float(config, "lora_dropout", 0, path);
  config_.rank_stabilised = formats::optional_bool(config, "use_rslora", false, path);
  config_.transposed_base = formats::optional_bool(config, "fan_in_fan_out", false, path);
  config_.base_model = formats::optional_string(config, "base_model_name_or_path", "", path);
  config_.targets = targets_of(config, path);
  const std::string weights = folder + kWeightsFile;
  const formats::SafetensorsFile file(weights);
  bool left_out = false;
  for (const formats::TensorInfo& info : file.tensors()) {
    const bool is_a = ends_with(info.name, kA), is_b = ends_with(info.name, kB);
    const std::string kind = is_a ? kA : is_b ? kB : kTokenRows;
    if (info.name.rfind(kPrefix, 0) != 0 || !ends_with(info.name, kind))
      fail("{}: tensor {}: expected names {}<module>{} and {}", weights, info.name, kPrefix, kA,
           kB);
    const std::string stored_name =
        info.name.substr(kPrefix.size(), info.name.size() - kPrefix.size() - kind.size());
    const std::string module = own_name ? own_name(stored_name) : stored_name;
    if (module.empty()) {
      left_out = true;
      continue;
    }
    const Tensor stored = file.get(info.name);
    const bool is_rank = is_a || is_b;
    if (!is_float(stored.dtype()) || stored.dim() != 2 ||
        (is_rank && stored.size(is_a ? 0 : 1) != config_.rank))
      fail("{}: tensor {}: expected a float matrix{}, found {} {}", weights, info.name,
           is_rank ? fmt::format(" of rank {}", config_.rank) : "", dtype_name(stored.dtype()),
           tensor::shape_string(stored.shape()));
    Tensor& place = is_a ? modules_[module].a : is_b ? modules_[module].b : tokens_[module].rows;
    if (place.defined())
      fail("{}: tensor {}: module {} has one already", weights, info.name, module);
    place = stored.to(DType::f32);
    if (!is_rank) tokens_[module].begin = first_token(config, stored_name, stored.size(0), path);
  }
  for (const auto& [module, matrices] : modules_)
    if (!matrices.a.defined() || !matrices.b.defined())
      fail("{}: module {}: one of A and B is missing", weights, module);
  if (modules_.empty())
    fail("{}: there are no adapters{}", weights, left_out ? " but of layers that are not run" : "");
}

TokenRowSource LoraFile::token_rows() {
  if (tokens_.empty()) return {};
  return [this](const std::string& module, const Tensor&) {
    const auto found = tokens_.find(module);
    if (found == tokens_.end()) return TokenRows();
    used_[module + kTokenRows] = true;
    return found->second;
  };
}

LoraMatrices LoraFile::matrices(const LoraSite& site) {
  const auto found = modules_.find(site.module);
  if (found == modules_.end()) return {};
  const LoraMatrices& m = found->second;
  if (m.a.size(1) != site.k || m.b.size(0) != site.n)
    fail("{}: module {}: A {} and B {} for a layer [{}, {}]: the adapter is for another model",
         folder_, site.module, tensor::shape_string(m.a.shape()),
         tensor::shape_string(m.b.shape()), site.n, site.k);
  used_[site.module] = true;
  return {m.a, rows_from_file(m.b, site.row_order)};
}

LoraSource LoraFile::packed() {
  return [this](const LoraSite& site) -> std::shared_ptr<const Lora> {
    const LoraMatrices m = matrices(site);
    return m.a.defined() ? std::make_shared<const Lora>(m.a, m.b, config_.scale()) : nullptr;
  };
}

void LoraFile::merge_into(const LoraSite& site, Tensor& weight) {
  const LoraMatrices m = matrices(site);
  if (!m.a.defined()) return;
  kernels::onednn::matmul(
      {.m = site.n, .n = site.k, .k = config_.rank, .alpha = config_.scale(), .beta = 1},
      m.b.f32(), m.a.f32(), weight.f32());
}

void LoraFile::check_all_used() const {
  for (const auto& [module, matrices] : modules_)
    if (used_.count(module) == 0)
      fail("{}: module {}: the model has no such linear layer", folder_, module);
  for (const auto& [module, added] : tokens_)
    if (used_.count(module + kTokenRows) == 0)
      fail("{}: module {}: the model cannot be given rows of tokens there", folder_, module);
}

Tensor rows_from_file(const Tensor& x, const std::vector<int64_t>& order) {
  if (order.empty()) return x;
  Tensor y = Tensor::empty(x.shape());
  const auto row = static_cast<size_t>(x.size(1)) * sizeof(float);
  for (size_t r = 0; r < order.size(); ++r)
    std::memcpy(y.bytes() + r * row, x.bytes() + static_cast<size_t>(order[r]) * row, row);
  return y;
}

Tensor rows_to_file(const Tensor& x, const std::vector<int64_t>& order) {
  if (order.empty()) return x;
  Tensor y = Tensor::empty(x.shape());
  const auto row = static_cast<size_t>(x.size(1)) * sizeof(float);
  for (size_t r = 0; r < order.size(); ++r)
    std::memcpy(y.bytes() + static_cast<size_t>(order[r]) * row, x.bytes() + r * row, row);
  return y;
}

}  // namespace sumi::nn

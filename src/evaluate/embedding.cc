#include "evaluate/embedding.h"

#include <cmath>

#include "base/error.h"
#include "formats/json.h"
#include "tensor/autograd.h"

namespace sumi::evaluate {

Pooling pooling_from_name(const std::string& name) {
  if (name == "mean") return Pooling::mean;
  if (name == "cls") return Pooling::cls;
  if (name == "last") return Pooling::last;
  fail("pooling: expected mean, cls or last, found \"{}\"", name);
}

std::vector<float> embed(const models::LanguageModel& model, std::span<const int32_t> ids,
                         Pooling pooling, bool normalize) {
  const tensor::NoGrad no_grad;
  const int64_t count = static_cast<int64_t>(ids.size());
  if (count == 0) fail("embedding: no tokens; the model needs at least one");
  if (count > model.max_positions())
    fail("embedding: a text of {} tokens, the model's context is {}", count, model.max_positions());
  const Tensor hidden = model.hidden_states(Tensor::from_ids({ids.begin(), ids.end()}, {1, count}));
  const int64_t size = hidden.size(2);
  std::vector<double> sum(static_cast<size_t>(size), 0.0);
  const int64_t first = pooling == Pooling::last ? count - 1 : 0,
                end = pooling == Pooling::cls ? 1 : count;
  for (int64_t t = first; t < end; ++t)
    for (int64_t i = 0; i < size; ++i) sum[static_cast<size_t>(i)] += hidden.f32()[t * size + i];
  double squares = 0;
  for (double& value : sum) {
    value /= static_cast<double>(end - first);
    squares += value * value;
  }
  const double scale = normalize && squares > 0 ? 1 / std::sqrt(squares) : 1;
  std::vector<float> result;
  for (const double value : sum) result.push_back(static_cast<float>(value * scale));
  return result;
}

EmbeddingDefaults embedding_defaults(const std::string& path, bool encoder) {
  EmbeddingDefaults defaults;
  if (!encoder) defaults.pooling = Pooling::last;
  const std::string modules = path + "/modules.json", own = path + "/sentence_bert_config.json";
  if (formats::file_exists(own)) {
    const nlohmann::json config = formats::read_json_file(own);
    defaults.max_tokens = formats::optional_int(config, "max_seq_length", 0, own);
  }
  if (!formats::file_exists(modules)) return defaults;
  defaults.normalize = false;
  for (const nlohmann::json& module : formats::read_json_file(modules)) {
    const std::string type = formats::optional_string(module, "type", "", modules);
    const std::string name = type.substr(type.find_last_of('.') + 1);
    if (name == "Normalize") {
      defaults.normalize = true;
    } else if (name == "Pooling") {
      const std::string file =
          path + "/" + formats::optional_string(module, "path", "", modules) + "/config.json";
      const nlohmann::json config = formats::read_json_file(file);
      const auto says = [&](const char* key) {
        return formats::optional_bool(config, key, false, file);
      };
      if (says("pooling_mode_cls_token"))
        defaults.pooling = Pooling::cls;
      else if (says("pooling_mode_lasttoken"))
        defaults.pooling = Pooling::last;
      else if (says("pooling_mode_mean_tokens"))
        defaults.pooling = Pooling::mean;
      else
        fail("{}: the pooling is not known; cls, last and mean are", file);
    } else if (name != "Transformer") {
      fail("{}: the module {} is not known", modules, type);
    }
  }
  return defaults;
}

}  // namespace sumi::evaluate

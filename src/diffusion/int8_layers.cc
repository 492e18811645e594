#include "diffusion/int8_layers.h"

#include <algorithm>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/json.h"
#include "tensor/autograd.h"

namespace sumi::diffusion {

std::string control_prefix(size_t index) { return fmt::format("controlnet.{}.", index); }

std::vector<LayerError> measure_int8(const std::vector<TriedNetwork>& networks,
                                     const std::function<tensor::Tensor(size_t)>& output, size_t calls,
                                     const std::function<void(size_t, size_t)>& progress) {
  const tensor::NoGrad no_grad;
  std::vector<tensor::Tensor> exact;
  double squares = 0;
  for (size_t call = 0; call < calls; ++call) {
    exact.push_back(output(call));
    for (int64_t i = 0; i < exact.back().numel(); ++i) {
      const double y = exact.back().f32()[i];
      squares += y * y;
    }
  }
  const auto change = [&] {  // of the squares
    double differences = 0;
    for (size_t call = 0; call < calls; ++call) {
      const tensor::Tensor rounded = output(call);
      for (int64_t i = 0; i < rounded.numel(); ++i) {
        const double d = static_cast<double>(rounded.f32()[i]) - exact[call].f32()[i];
        differences += d * d;
      }
    }
    return squares > 0 ? differences / squares : 0;
  };
  size_t total = 0;
  for (const TriedNetwork& network : networks) total += network.trial->layers().size();
  std::vector<LayerError> errors;
  for (const TriedNetwork& network : networks)
    for (size_t layer = 0; layer < network.trial->layers().size(); ++layer) {
      const nn::Int8Trial::Layer& one = network.trial->layers()[layer];
      network.trial->exchange(layer);
      const double error = change();
      network.trial->exchange(layer);
      errors.push_back({network.prefix + one.name, error, one.weights()});
      if (progress) progress(errors.size(), total);
    }
  return errors;
}

std::vector<std::string> sensitive_layers(const std::vector<LayerError>& errors, double share) {
  if (!(share >= 0 && share <= 1)) fail("a share of {} of the weights, expected 0 to 1", share);
  std::vector<const LayerError*> order;
  double left = 0;
  for (const LayerError& one : errors) {
    order.push_back(&one);
    left += share * static_cast<double>(one.weights);
  }
  const auto density = [](const LayerError& one) { return one.error / static_cast<double>(std::max<int64_t>(1, one.weights)); };
  std::stable_sort(order.begin(), order.end(),
                   [&](const LayerError* a, const LayerError* b) { return density(*a) > density(*b); });
  std::vector<std::string> kept;
  for (const LayerError* one : order)
    if (static_cast<double>(one->weights) <= left) {
      left -= static_cast<double>(one->weights);
      kept.push_back(one->name);
    }
  return kept;
}

void write_int8_layers(const std::string& path, const std::vector<LayerError>& errors,
                       const std::vector<std::string>& kept) {
  nlohmann::ordered_json json = {{"kept", kept}, {"layers", nlohmann::ordered_json::array()}};
  for (const LayerError& one : errors)
    json["layers"].push_back({{"name", one.name}, {"error", one.error}, {"weights", one.weights}});
  formats::write_text_file(path, json.dump(1) + "\n");
}

std::unordered_set<std::string> read_kept_layers(const std::string& path) {
  const nlohmann::json json = formats::read_json_file(path);
  if (!json.is_object() || !json.contains("kept") || !json["kept"].is_array())
    fail("{}: kept: expected a list of layers, as sumi bench image --sensitivity writes it", path);
  std::unordered_set<std::string> kept;
  for (const nlohmann::json& name : json["kept"]) {
    if (!name.is_string()) fail("{}: kept: expected names of layers, found {}", path, name.dump());
    kept.insert(name.get<std::string>());
  }
  return kept;
}

std::unordered_set<std::string> layers_with_prefix(const std::unordered_set<std::string>& layers,
                                                   const std::string& prefix) {
  std::unordered_set<std::string> own;
  for (const std::string& layer : layers)
    if (layer.rfind(prefix, 0) == 0) own.insert(layer.substr(prefix.size()));
  return own;
}

}  // namespace sumi::diffusion

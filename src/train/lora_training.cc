#include "train/lora_training.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "base/error.h"

namespace sumi::train {
namespace {

std::string last_part(const std::string& module) {
  const size_t dot = module.rfind('.');
  return dot == std::string::npos ? module : module.substr(dot + 1);
}

double uniform(std::mt19937_64& random) {  // [0, 1)
  return static_cast<double>(random() >> 11) * 0x1p-53;
}

double normal(std::mt19937_64& random) {  // Box and Muller
  const double radius = std::sqrt(-2 * std::log(1 - uniform(random)));
  return radius * std::cos(2 * std::numbers::pi * uniform(random));
}

Tensor initial_a(int64_t rank, int64_t k, LoraInit init, uint64_t seed) {
  std::mt19937_64 random(seed);
  Tensor a = Tensor::empty({rank, k});
  const double bound = 1 / std::sqrt(static_cast<double>(k));
  for (int64_t i = 0; i < a.numel(); ++i)
    a.f32()[i] = static_cast<float>(init == LoraInit::kaiming
                                        ? bound * (2 * uniform(random) - 1)
                                        : normal(random) / static_cast<double>(rank));
  return a;
}

}  // namespace

nlohmann::json lora_identity(const nn::LoraConfig& config) {
  return {{"rank", config.rank}, {"alpha", config.alpha}, {"dropout", config.dropout}};
}

TrainableLora::TrainableLora(nn::LoraConfig config, LoraInit init, uint64_t seed)
    : config_(std::move(config)), init_(init), seed_(seed) {
  if (config_.rank < 1) fail("LoRA rank: expected 1 or more, found {}", config_.rank);
  if (!(config_.alpha > 0)) fail("LoRA alpha: expected more than 0, found {}", config_.alpha);
  if (!(config_.dropout >= 0 && config_.dropout < 1))
    fail("LoRA dropout: expected 0 to less than 1, found {}", config_.dropout);
  if (config_.targets.empty()) fail("LoRA: no target modules");
  clock_->seed = seed;
}

// A head is a layer of the model itself, not of a part of it: its name has no dot.
bool TrainableLora::wanted(const std::string& module) const {
  const auto& targets = config_.targets;
  if (std::find(targets.begin(), targets.end(), kAllLinear) != targets.end())
    return module.find('.') != std::string::npos;
  return nn::is_target(config_, module);
}

nn::LoraSource TrainableLora::source() {
  return [this](const nn::LoraSite& site) -> std::shared_ptr<const nn::Lora> {
    const std::string part = last_part(site.module);
    if (std::find(seen_.begin(), seen_.end(), part) == seen_.end()) seen_.push_back(part);
    if (!wanted(site.module)) return nullptr;
    const uint64_t index = modules_.size();
    Tensor a = initial_a(config_.rank, site.k, init_, seed_ + index);
    Tensor b = Tensor::zeros({site.n, config_.rank});
    a.set_requires_grad(true);
    b.set_requires_grad(true);
    modules_.push_back({site, {a, b}});
    return std::make_shared<const nn::Lora>(a, b, config_.scale(),
                                            static_cast<float>(config_.dropout), clock_, index);
  };
}

void TrainableLora::check_targets() const {
  for (const std::string& target : config_.targets) {
    if (target == kAllLinear && !modules_.empty()) continue;
    nn::LoraConfig one = config_;
    one.targets = {target};
    const bool found =
        std::any_of(modules_.begin(), modules_.end(),
                    [&](const Module& m) { return nn::is_target(one, m.site.module); });
    if (!found)
      fail("target module {}: the model has no such linear layer; it has {}", target,
           fmt::join(seen_, ", "));
  }
}

std::vector<Parameter> TrainableLora::parameters() const {
  std::vector<Parameter> all;
  for (const Module& module : modules_) {
    all.push_back({module.site.module + ".lora_A.weight", module.matrices.a});
    all.push_back({module.site.module + ".lora_B.weight", module.matrices.b});
  }
  return all;
}

std::vector<std::pair<std::string, nn::LoraMatrices>> TrainableLora::scaled_matrices() const {
  std::vector<std::pair<std::string, nn::LoraMatrices>> all;
  for (const Module& module : modules_) {
    Tensor b = nn::rows_to_file(module.matrices.b, module.site.row_order).clone();
    for (int64_t i = 0; i < b.numel(); ++i) b.f32()[i] *= config_.scale();
    all.emplace_back(module.site.module, nn::LoraMatrices{module.matrices.a, b});
  }
  return all;
}

void TrainableLora::save(
    const std::string& folder,
    const std::vector<std::pair<std::string, nn::TokenRows>>& tokens) const {
  nn::LoraConfig config = config_;
  config.targets.clear();
  std::vector<std::pair<std::string, nn::LoraMatrices>> matrices;
  for (const Module& module : modules_) {
    const std::string part = last_part(module.site.module);
    if (std::find(config.targets.begin(), config.targets.end(), part) == config.targets.end())
      config.targets.push_back(part);
    config.transposed_base = config.transposed_base || module.site.transposed;
    matrices.emplace_back(
        module.site.module,
        nn::LoraMatrices{module.matrices.a,
                         nn::rows_to_file(module.matrices.b, module.site.row_order)});
  }
  nn::write_lora(folder, config, matrices, tokens);
}

}  // namespace sumi::train

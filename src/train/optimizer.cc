#include "train/optimizer.h"

#include <cstring>

#include "base/error.h"

namespace sumi::train {
namespace {

void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    fail("optimizer: {}: expected {} to {}, found {}", name, low, high, value);
}

std::unique_ptr<UpdateRule> make_rule(const OptimizerOptions& options) {
  check_optimizer_options(options);
  if (options.name == "adamw") return make_adamw(options);
  if (options.name == "adamw_8bit") return make_adamw_8bit(options);
  if (options.name == "adafactor") return make_adafactor();
  if (options.name == "lion") return make_lion(options);
  return make_sgd(options);
}

}  // namespace

void check_optimizer_options(const OptimizerOptions& options) {
  for (const char* known : {"adamw", "adamw_8bit", "adafactor", "lion", "sgd"}) {
    if (options.name != known) continue;
    check_range("beta1", options.beta1, 0, 0.999999);
    check_range("beta2", options.beta2, 0, 0.999999);
    check_range("eps", options.eps, 0, 1);
    check_range("weight_decay", options.weight_decay, 0, 1);
    check_range("momentum", options.momentum, 0, 0.999999);
    return;
  }
  fail("optimizer: expected adamw, adamw_8bit, adafactor, lion or sgd, found {}", options.name);
}

Optimizer::Optimizer(std::vector<Parameter> parameters, const OptimizerOptions& options)
    : parameters_(std::move(parameters)),
      rule_(make_rule(options)),
      weight_decay_(options.weight_decay) {
  states_.reserve(parameters_.size());
  for (const Parameter& parameter : parameters_)
    states_.push_back(rule_->initial_state(parameter.value));
}

void Optimizer::step(double learning_rate, double factor) {
  ++steps_;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& parameter = parameters_[i];
    Tensor gradient = parameter.value.grad();
    if (!gradient.defined()) continue;
    parameter.value.set_grad({});
    if (gradient.dtype() != DType::bf16) gradient = gradient.to(DType::f32);
    rule_->update(parameter.value, Gradient(std::move(gradient), static_cast<float>(factor)), states_[i],
                  learning_rate, parameter.decays ? weight_decay_ : 0, steps_);
  }
}

size_t Optimizer::state_bytes() const {
  size_t total = 0;
  for (const ParameterState& state : states_)
    for (const auto& [what, tensor] : state) total += static_cast<size_t>(tensor.nbytes());
  return total;
}

std::vector<std::pair<std::string, Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < parameters_.size(); ++i)
    for (const auto& [what, tensor] : states_[i])
      all.emplace_back(parameters_[i].name + "." + what, tensor);
  return all;
}

void Optimizer::load_state(int64_t steps, const std::function<Tensor(const std::string&)>& get) {
  for (const auto& [name, tensor] : state()) {
    const Tensor stored = get(name);
    if (stored.shape() != tensor.shape() || stored.dtype() != tensor.dtype())
      fail("optimizer state {}: expected {} {}, found {} {}", name, dtype_name(tensor.dtype()),
           tensor::shape_string(tensor.shape()), dtype_name(stored.dtype()),
           tensor::shape_string(stored.shape()));
    Tensor into = tensor;
    std::memcpy(into.bytes(), stored.bytes(), static_cast<size_t>(stored.nbytes()));
  }
  steps_ = steps;
}

}  // namespace sumi::train

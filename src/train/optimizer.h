// Optimisers: from gradients to changed weights.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "train/gradient.h"
#include "train/parameter.h"

namespace sumi::train {

struct OptimizerOptions {
  // adamw      arXiv:1711.05101, as torch.optim.AdamW
  // adamw_8bit the same with its two moments in 8 bits, block-wise (arXiv:2110.02861)
  // adafactor  arXiv:1804.04235, as transformers' Adafactor with scale_parameter and relative_step
  //            off
  // lion       arXiv:2302.06675
  // sgd        as torch.optim.SGD
  std::string name = "adamw";
  double beta1 = 0.9, beta2 = 0.999;  // adamw, lion (whose authors advise 0.9 and 0.99)
  double eps = 1e-8;                  // adamw
  double weight_decay = 0.01;
  double momentum = 0;  // sgd
};

// Throws Error naming the option that is out of range, or the known optimisers.
void check_optimizer_options(const OptimizerOptions& options);

// What an optimiser remembers of one parameter, e.g. {"exp_avg", tensor}.
using ParameterState = std::vector<std::pair<const char*, Tensor>>;

// One parameter's step.
class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  virtual ParameterState initial_state(const Tensor& parameter) const = 0;
  // `step` counts from 1. weight_decay is 0 for parameters that do not decay.
  virtual void update(Tensor& parameter, const Gradient& gradient, ParameterState& state,
                      double learning_rate, double weight_decay, int64_t step) const = 0;
};
std::unique_ptr<UpdateRule> make_adamw(const OptimizerOptions& options);
std::unique_ptr<UpdateRule> make_adamw_8bit(const OptimizerOptions& options);
std::unique_ptr<UpdateRule> make_adafactor();
std::unique_ptr<UpdateRule> make_lion(const OptimizerOptions& options);
std::unique_ptr<UpdateRule> make_sgd(const OptimizerOptions& options);

class Optimizer {
 public:
  // The parameters' tensors are shared, not copied.
  Optimizer(std::vector<Parameter> parameters, const OptimizerOptions& options);

  // Changes every parameter that has a gradient, whose gradient it takes times `factor` and gives up.
  void step(double learning_rate, double factor = 1);

  int64_t steps() const { return steps_; }
  size_t state_bytes() const;

  // "<parameter>.<what>" and the tensor, which step() changes in place.
  std::vector<std::pair<std::string, Tensor>> state() const;
  // Takes back what state() gave after `steps` steps. `get` returns the tensor of that name; Error
  // if one has another shape or type.
  void load_state(int64_t steps, const std::function<Tensor(const std::string&)>& get);

 private:
  std::vector<Parameter> parameters_;
  std::unique_ptr<UpdateRule> rule_;
  double weight_decay_;
  std::vector<ParameterState> states_;
  int64_t steps_ = 0;
};

}  // namespace sumi::train

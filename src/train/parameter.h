// A weight that a training changes.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::train {

struct Parameter {
  std::string name;    // dotted, as in the checkpoint
  Tensor value;        // f32, requires a gradient
  bool decays = true;  // weight decay applies (not to norms and biases, by custom)
};

// Numbers in all of them.
int64_t count_weights(const std::vector<Parameter>& parameters);

// Norm of all gradients together. Parameters without a gradient count as zero.
double gradient_norm(const std::vector<Parameter>& parameters);

// What gradients of this norm are multiplied by so that it is max_norm at most, as torch.nn.utils.clip_grad_norm_
// does: max_norm / (norm + 1e-6), or 1. max_norm 0: no limit.
double clip_factor(double norm, double max_norm);

void clear_gradients(std::vector<Parameter>& parameters);

// Gives weight decay to matrices alone: transformers' Trainer leaves out biases and norms.
void decay_matrices_only(std::vector<Parameter>& parameters);

}  // namespace sumi::train

// Activation functions, alone and as the gate of a gated MLP.
#pragma once

#include <string>

#include "kernels/elementwise.h"
#include "tensor/tensor.h"

namespace sumi::ops {

// identity, relu, gelu (by erf), gelu_tanh, gelu_quick, silu, sigmoid, relu_squared: formulas in
// kernels/elementwise.h.
using kernels::Activation;

// The name transformers uses in config.json ("gelu", "gelu_new", "gelu_pytorch_tanh", "silu", ...).
// Throws Error on an unknown one, naming `where` it stands.
Activation activation_from_name(const std::string& name, const std::string& where = "activation");

// [...] -> [...]
Tensor activation(const Tensor& x, Activation kind);

// activation(gate) * up, as in arXiv:2002.05202: [..., N], [..., N] -> [..., N]
Tensor gated(const Tensor& gate, const Tensor& up, Activation kind);

// The same with both halves in one tensor: [..., 2N] -> [..., N]
enum class GateHalf { first, last };
Tensor gated(const Tensor& gate_up, Activation kind, GateHalf gate = GateHalf::first);

}  // namespace sumi::ops

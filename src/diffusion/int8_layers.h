// Which layers of a UNet are computed in int8: those that suffer the least, by measurement.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "nn/int8_trial.h"
#include "tensor/tensor.h"

namespace sumi::diffusion {

// What a layer in int8, alone, does to a UNet's output.
struct LayerError {
  std::string name;     // of a ControlNet's layer with control_prefix() before it
  double error = 0;     // of the output: the squares of its changes over the squares of the output, of all inputs
  int64_t weights = 0;  // numbers
};

// "controlnet.0." and so on: the layers of the command's ControlNets.
std::string control_prefix(size_t index);

// The layers of a network that are to be tried.
struct TriedNetwork {
  std::string prefix;  // of their names
  nn::Int8Trial* trial = nullptr;
};

// Each layer of the networks in turn, on every call: output(i) is the UNet's output of call i of `calls`. progress(done,
// total) may be empty; it may throw to stop.
std::vector<LayerError> measure_int8(const std::vector<TriedNetwork>& networks,
                                     const std::function<tensor::Tensor(size_t)>& output, size_t calls,
                                     const std::function<void(size_t, size_t)>& progress);

// Marks layers to be kept out of int8: those with the largest error for each weight first, as long as they have no more
// than `share` of all weights together. Returns their names in that order.
std::vector<std::string> sensitive_layers(const std::vector<LayerError>& errors, double share);

// The file of both: JSON with `layers` (name, error, weights) and `kept`, names.
void write_int8_layers(const std::string& path, const std::vector<LayerError>& errors,
                       const std::vector<std::string>& kept);
// `kept` of such a file. Throws Error naming file and field.
std::unordered_set<std::string> read_kept_layers(const std::string& path);
// Those among them whose names begin with `prefix`, without it.
std::unordered_set<std::string> layers_with_prefix(const std::unordered_set<std::string>& layers, const std::string& prefix);

}  // namespace sumi::diffusion

// Which layers of a UNet are computed in int8: those that suffer the least, by measurement.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "models/diffusion/unet.h"
#include "nn/int8_trial.h"

namespace sumi::diffusion {

// What a layer in int8, alone, does to a UNet's output.
struct LayerError {
  std::string name;
  double error = 0;     // of the output: the squares of its changes over the squares of the output, of all inputs
  int64_t weights = 0;  // numbers
};

// Each layer of the trial in turn, on every input. progress(done, total) may be empty; it may throw to stop.
std::vector<LayerError> measure_int8(const models::UNet& unet, nn::Int8Trial& trial,
                                     const std::vector<models::UNetInput>& inputs,
                                     const std::function<void(size_t, size_t)>& progress);

// Marks layers to be kept out of int8: those with the largest error for each weight first, as long as they have no more
// than `share` of all weights together. Returns their names in that order.
std::vector<std::string> sensitive_layers(const std::vector<LayerError>& errors, double share);

// The file of both: JSON with `layers` (name, error, weights) and `kept`, names.
void write_int8_layers(const std::string& path, const std::vector<LayerError>& errors,
                       const std::vector<std::string>& kept);
// `kept` of such a file. Throws Error naming file and field.
std::unordered_set<std::string> read_kept_layers(const std::string& path);

}  // namespace sumi::diffusion

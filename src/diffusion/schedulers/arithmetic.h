// Arithmetic on whole samples that the schedulers share.
#pragma once

#include <initializer_list>
#include <string>

#include "base/random.h"
#include "diffusion/schedulers/config.h"
#include "tensor/tensor.h"

namespace sumi::diffusion {

// factor * tensor + ..., from left to right. Shapes must be equal (Error).
struct Term {
  float factor;
  const Tensor& tensor;
};
Tensor weighted_sum(std::initializer_list<Term> terms);

// "epsilon" (noise), "v_prediction" (arXiv 2202.00512) or "sample": what the model's output is.
std::string read_prediction_type(SchedulerConfig& config, bool sample_allowed = true);

// The clean sample that an output says: sample = signal * clean + noise * epsilon.
Tensor predicted_original(const std::string& prediction_type, float signal, float noise,
                          const Tensor& output, const Tensor& sample);

// clip_sample, clip_sample_range, thresholding, dynamic_thresholding_ratio, sample_max_value:
// limits for the predicted clean sample.
struct Clipping {
  bool clip = false, threshold = false;
  float range = 1, ratio = 0.995f, max = 1;
};
// A scheduler without clip_sample leaves it out.
Clipping read_clipping(SchedulerConfig& config, bool clip_key, bool clip_missing,
                       bool threshold_key);
// Dynamic thresholding (arXiv 2205.11487, section 2.3): of each picture the values within the
// `ratio` quantile of their sizes, but at least 1, divided by it.
Tensor clipped(const Tensor& sample, const Clipping& clipping);

// torch.randn of the sample's shape.
Tensor noise_like(const Tensor& sample, base::Generator& generator);

}  // namespace sumi::diffusion

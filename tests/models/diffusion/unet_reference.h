// What tools/reference/diffusion.py wrote, and comparisons with it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "formats/safetensors.h"
#include "models/diffusion/unet.h"

namespace sumi::models {

inline std::string diffusion_folder(const std::string& name) {
  return std::string(SUMI_TEST_DATA) + "/diffusion/" + name;
}

class StepReference {
 public:
  explicit StepReference(const std::string& name)
      : file_(diffusion_folder(name) + "/expected.safetensors") {}
  Tensor get(const std::string& name) const { return file_.get(name); }
  bool has(const std::string& name) const { return file_.has(name); }

  UNetInput input() const {
    UNetInput in;
    in.sample = get("sample");
    in.timesteps = get("timesteps").to_vector();
    in.context = get("context");
    if (has("classes")) in.classes = get("classes").to_vector();
    if (has("time_ids")) in.time_ids = get("time_ids").to_vector();
    if (has("pooled_text")) in.pooled_text = get("pooled_text");
    if (has("class_vectors")) in.class_vectors = get("class_vectors");
    if (has("time_condition")) in.time_condition = get("time_condition");
    return in;
  }

  // Every parameter's gradient is there and close, and no other is expected.
  void expect_gradients(const std::vector<std::pair<std::string, Tensor>>& parameters) const;

 private:
  formats::SafetensorsFile file_;
};

// Largest difference, relative to the largest magnitude expected.
inline double largest_error(const Tensor& found, const Tensor& expected) {
  EXPECT_EQ(found.shape(), expected.shape());
  if (found.shape() != expected.shape()) return INFINITY;
  double difference = 0, magnitude = 0;
  for (int64_t i = 0; i < expected.numel(); ++i) {
    const double d = std::fabs(static_cast<double>(found.f32()[i]) - expected.f32()[i]);
    if (!(d <= difference)) difference = d;  // a NaN counts
    magnitude = std::max<double>(magnitude, std::fabs(expected.f32()[i]));
  }
  return difference / magnitude;
}

inline void StepReference::expect_gradients(
    const std::vector<std::pair<std::string, Tensor>>& parameters) const {
  size_t expected = 0;
  double magnitude = 0;
  for (const formats::TensorInfo& info : file_.tensors())
    if (info.name.rfind("grad.", 0) == 0) ++expected;
  EXPECT_EQ(parameters.size(), expected);
  for (const auto& [name, parameter] : parameters) {
    ASSERT_TRUE(parameter.grad().defined()) << name;
    EXPECT_LE(largest_error(parameter.grad(), get("grad." + name)), 1e-4) << name;
    for (const float g : parameter.grad().to_vector())
      magnitude = std::max<double>(magnitude, std::fabs(g));
  }
  EXPECT_GT(magnitude, 0);
}

inline nn::LoadOptions load_as(ops::PackedWeight::Compute compute, bool trainable = false) {
  nn::LoadOptions options;
  options.compute = compute;
  options.trainable = trainable;
  options.many_rows = true;
  return options;
}

}  // namespace sumi::models

// What tools/reference/training.py wrote, and comparisons with it.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "tensor/autograd.h"
#include "train/parameter.h"

namespace sumi::train {

inline formats::SafetensorsFile expected_file(const std::string& name) {
  return formats::SafetensorsFile(std::string(SUMI_TEST_DATA) + "/train/" + name);
}

// |found - expected| <= tolerance (1 + |expected|)
inline void expect_close(const Tensor& found, const Tensor& expected, double tolerance,
                         const std::string& what) {
  ASSERT_EQ(found.shape(), expected.shape()) << what;
  for (int64_t i = 0; i < expected.numel(); ++i)
    ASSERT_NEAR(found.f32()[i], expected.f32()[i],
                tolerance * (1 + std::fabs(expected.f32()[i])))
        << what << ", element " << i;
}

}  // namespace sumi::train

// Weights of layers that begin from nothing.
#include "nn/initial_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace sumi::nn {
namespace {

TEST(InitialWeights, AsPyTorchBegins) {
  InitialWeights weights(7);
  const std::vector<float> conv = weights.make("a.conv.weight", {8, 4, 3, 3}, false).to_vector();
  const std::vector<float> bias = weights.make("a.conv.bias", {64}, false).to_vector();
  for (const std::vector<float>& values : {conv, bias}) {  // within 1 / sqrt(4 * 3 * 3)
    EXPECT_LE(*std::max_element(values.begin(), values.end()), 1.0f / 6);
    EXPECT_GE(*std::max_element(values.begin(), values.end()), 0.9f / 6);
    EXPECT_GE(*std::min_element(values.begin(), values.end()), -1.0f / 6);
    EXPECT_LE(*std::min_element(values.begin(), values.end()), -0.9f / 6);
  }
  EXPECT_EQ(weights.make("a.norm.weight", {3}, false).to_vector(), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(weights.make("a.norm.bias", {2}, false).to_vector(), (std::vector<float>{0, 0}));
  const std::vector<float> table = weights.make("class.weight", {50, 20}, true).to_vector();
  double squares = 0;
  for (const float value : table) squares += double{value} * value;
  EXPECT_NEAR(squares / 1000, 1, 0.15);
  EXPECT_EQ(InitialWeights(7).make("a.conv.weight", {8, 4, 3, 3}, false).to_vector(), conv);
  EXPECT_NE(InitialWeights(8).make("a.conv.weight", {8, 4, 3, 3}, false).to_vector(), conv);
}

}  // namespace
}  // namespace sumi::nn

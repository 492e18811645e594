// Random numbers for tests of kernels, the same for a seed.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace sumi::kernels {

template <class Distribution>
std::vector<float> values_of(Distribution distribution, int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = distribution(generator);
  return values;
}

// In [-1, 1).
inline std::vector<float> uniform_values(int64_t n, uint32_t seed) {
  return values_of(std::uniform_real_distribution<float>(-1, 1), n, seed);
}

inline std::vector<float> normal_values(int64_t n, uint32_t seed, float spread = 1) {
  return values_of(std::normal_distribution<float>(0, spread), n, seed);
}

}  // namespace sumi::kernels

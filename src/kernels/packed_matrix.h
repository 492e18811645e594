// How a weight matrix lies in memory for the matrix kernels; made by pack(), read by kernels/isa/matmul*.cc.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sumi::kernels {

struct PackedMatrix {
  int64_t n = 0, k = 0;
  const std::byte* data = nullptr;
  size_t bytes = 0;
};

}  // namespace sumi::kernels

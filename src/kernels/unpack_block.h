// Takes the codes and scales out of the block-quantized types of GGUF files (layouts: ggml's ggml-common.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace sumi::kernels {

// What a row of a weight is made of in its file.
enum class SourceKind : uint8_t {
  f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k
};

// The scales of 32 weights; halves are f16 bits. For the K types scale and min are those of the 256 weights around,
// and the sub-scales those of each 16 (or, where there is one for 32, the first).
struct UnpackedBlock {
  uint16_t scale = 0, min = 0;
  uint8_t sub_scale[2] = {0, 0}, sub_min[2] = {0, 0};
};

// Block number `block` (of 32 weights) of a row: unsigned codes, such that a weight is scale * (code - zero_point)
// + min with the zero points of packed_layout().
void unpack_block(SourceKind kind, const std::byte* row, int64_t block, uint8_t* codes, UnpackedBlock& scales);

}  // namespace sumi::kernels

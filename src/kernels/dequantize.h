// Reference decoders of GGUF's block formats and of 16-bit floats: plain scalar code that the fast
// kernels are tested against. Layouts and formulas: ggml's ggml-common.h and ggml-quants.c; results
// equal those of the Python package gguf bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sumi::kernels {

// Each turns `count` weights into floats; count is a multiple of the block: 32 for q4_0 ... q8_0,
// 256 for the K formats, 1 for f16 and bf16. `blocks` needs no alignment.
void dequantize_q4_0(const std::byte* blocks, int64_t count, float* out);
void dequantize_q4_1(const std::byte* blocks, int64_t count, float* out);
void dequantize_q5_0(const std::byte* blocks, int64_t count, float* out);
void dequantize_q5_1(const std::byte* blocks, int64_t count, float* out);
void dequantize_q8_0(const std::byte* blocks, int64_t count, float* out);
void dequantize_q2_k(const std::byte* blocks, int64_t count, float* out);
void dequantize_q3_k(const std::byte* blocks, int64_t count, float* out);
void dequantize_q4_k(const std::byte* blocks, int64_t count, float* out);
void dequantize_q5_k(const std::byte* blocks, int64_t count, float* out);
void dequantize_q6_k(const std::byte* blocks, int64_t count, float* out);
void dequantize_f16(const std::byte* blocks, int64_t count, float* out);
void dequantize_bf16(const std::byte* blocks, int64_t count, float* out);

// The 6-bit scale and minimum of each 32 weights in a q4_k or q5_k block, from its 12 bytes of
// scales.
struct KScale {
  uint8_t scale, min;
};
KScale unpack_k_scale(const std::byte* scales, int group);  // group 0 to 7

}  // namespace sumi::kernels

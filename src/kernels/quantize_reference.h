// Reference encoders of some block formats: scales from the largest or the extreme values, codes
// rounded to nearest. They make models for tests and benchmarks; they do not search for the scales
// of least error.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sumi::kernels {

// Each encodes `count` finite floats, a multiple of 32 (256 for the K formats), into whole blocks
// of 18, 20, 22, 24, 34, 144 and 210 bytes.
void quantize_q4_0(const float* values, int64_t count, std::byte* blocks);
void quantize_q4_1(const float* values, int64_t count, std::byte* blocks);
void quantize_q5_0(const float* values, int64_t count, std::byte* blocks);
void quantize_q5_1(const float* values, int64_t count, std::byte* blocks);
void quantize_q8_0(const float* values, int64_t count, std::byte* blocks);
void quantize_q4_k(const float* values, int64_t count, std::byte* blocks);
void quantize_q6_k(const float* values, int64_t count, std::byte* blocks);

}  // namespace sumi::kernels

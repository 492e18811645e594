// Element types of tensors, among them the block-quantized types of GGUF files.
#pragma once

#include <cstdint>
#include <string>

namespace sumi::tensor {

enum class DType : uint8_t {
  f32,
  f16,
  bf16,
  f64,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean,
  // Blocks of 32 weights (Q4_0 ... Q8_0) or 256 (the K types), laid out as in GGUF files.
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
};

const char* dtype_name(DType dtype);     // "f32", "q4_1", ...
int64_t dtype_block_size(DType dtype);   // elements in a block: 1, 32 or 256
int64_t dtype_block_bytes(DType dtype);  // bytes of a block
inline bool is_quantized(DType dtype) { return dtype >= DType::q4_0; }
inline bool is_float(DType dtype) { return dtype <= DType::bf16; }

}  // namespace sumi::tensor

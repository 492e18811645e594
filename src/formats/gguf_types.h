// The numbers that GGUF files use for metadata types and tensor element types.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tensor/tensor.h"

namespace sumi::formats {

enum class GgufType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64,
};
inline constexpr uint32_t kGgufTypes = 13;

inline constexpr uint32_t kGgufDefaultAlignment =
    32;  // of tensor data, unless general.alignment says otherwise
inline constexpr int64_t kGgufMinAlignment = 8, kGgufMaxAlignment = 1 << 16;
inline constexpr uint32_t kGgufMaxDims = 4;

// The DType of a ggml type id, if Sumi reads it.
std::optional<DType> dtype_of_ggml_type(uint32_t id);

// The ggml type id of a DType; empty for those GGUF has not (bool, u8).
std::optional<uint32_t> ggml_type_of_dtype(DType dtype);

// "Q4_1", "IQ2_XXS" ...; "unknown" for ids that no release of ggml has used. For messages.
std::string ggml_type_name(uint32_t id);

}  // namespace sumi::formats

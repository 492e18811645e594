#include "formats/gguf_types.h"

#include <utility>

namespace sumi::formats {

namespace {

constexpr std::pair<uint32_t, DType> kReadable[] = {
    {0, DType::f32},   {1, DType::f16},   {2, DType::q4_0},  {3, DType::q4_1},  {6, DType::q5_0},
    {7, DType::q5_1},  {8, DType::q8_0},  {10, DType::q2_k}, {11, DType::q3_k}, {12, DType::q4_k},
    {13, DType::q5_k}, {14, DType::q6_k}, {24, DType::i8},   {25, DType::i16},  {26, DType::i32},
    {27, DType::i64},  {28, DType::f64},  {30, DType::bf16},
};

// Indexed by id. 4, 5, 31 to 33 and 36 to 38 belonged to formats that ggml has removed.
constexpr const char* kNames[] = {
    "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
    "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
    "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
    "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
    "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
    "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",    "NVFP4",    "Q1_0",
};

}  // namespace

std::optional<DType> dtype_of_ggml_type(uint32_t id) {
  for (const auto& [known, dtype] : kReadable)
    if (known == id) return dtype;
  return std::nullopt;
}

std::optional<uint32_t> ggml_type_of_dtype(DType dtype) {
  for (const auto& [id, known] : kReadable)
    if (known == dtype) return id;
  return std::nullopt;
}

std::string ggml_type_name(uint32_t id) { return id < std::size(kNames) ? kNames[id] : "unknown"; }

}  // namespace sumi::formats

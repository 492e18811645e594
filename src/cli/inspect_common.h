// What `sumi inspect` shows of any model.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "formats/tensor_source.h"

namespace sumi::cli {

struct DtypeCount {
  int64_t tensors = 0, parameters = 0, bytes = 0;
};
struct Counts {
  std::map<std::string, DtypeCount> dtypes;
  DtypeCount all;
};
Counts count_dtypes(const formats::TensorSource& source);

// What the weights would take with matrices in this type (f16 where rows are no whole blocks of it, as `sumi convert`
// writes them) and everything else in f32.
int64_t weight_bytes_as(const formats::TensorSource& source, tensor::DType dtype);
// The types of a table of memory, from the largest to the smallest.
inline constexpr tensor::DType kMemoryTypes[] = {
    tensor::DType::f32,  tensor::DType::bf16, tensor::DType::q8_0,
    tensor::DType::q6_k, tensor::DType::q5_0, tensor::DType::q4_0};

std::string with_unit(double value, const char* unit);  // "1.7 GB"

nlohmann::ordered_json dtypes_json(const Counts& counts);
nlohmann::ordered_json tensors_json(const formats::TensorSource& source);
void print_tensors(const formats::TensorSource& source);

// A picture model, or one part of it.
int inspect_pictures(const std::string& path, bool with_tensors, bool json);

}  // namespace sumi::cli

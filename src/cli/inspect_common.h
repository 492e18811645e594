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

std::string with_unit(double value, const char* unit);  // "1.7 GB"

nlohmann::ordered_json dtypes_json(const Counts& counts);
nlohmann::ordered_json tensors_json(const formats::TensorSource& source);
void print_tensors(const formats::TensorSource& source);

// A picture model, or one part of it.
int inspect_pictures(const std::string& path, bool with_tensors, bool json);

}  // namespace sumi::cli

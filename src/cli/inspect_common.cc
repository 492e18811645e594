#include "cli/inspect_common.h"

#include "cli/common.h"

namespace sumi::cli {

Counts count_dtypes(const formats::TensorSource& source) {
  Counts counts;
  for (const formats::TensorInfo& info : source.tensors())
    for (DtypeCount* count : {&counts.dtypes[tensor::dtype_name(info.dtype)], &counts.all}) {
      ++count->tensors;
      count->parameters += tensor::element_count(info.shape);
      count->bytes += tensor::byte_count(info.shape, info.dtype);
    }
  return counts;
}

int64_t weight_bytes_as(const formats::TensorSource& source, tensor::DType dtype) {
  int64_t bytes = 0;
  for (const formats::TensorInfo& info : source.tensors()) {
    tensor::DType as = tensor::DType::f32;
    if (info.shape.size() == 2)
      as = info.shape[1] % tensor::dtype_block_size(dtype) == 0 ? dtype : tensor::DType::f16;
    bytes += tensor::byte_count(info.shape, as);
  }
  return bytes;
}

std::string with_unit(double value, const char* unit) {
  const char* prefixes[] = {"", "K", "M", "G", "T"};
  size_t i = 0;
  while (value >= 1000 && i < 4) {
    value /= 1000;
    ++i;
  }
  return fmt::format("{:.{}f} {}{}", value, i ? 1 : 0, prefixes[i], unit);
}

nlohmann::ordered_json dtypes_json(const Counts& counts) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const auto& [name, count] : counts.dtypes)
    object[name] = {
        {"tensors", count.tensors}, {"parameters", count.parameters}, {"bytes", count.bytes}};
  return object;
}

nlohmann::ordered_json tensors_json(const formats::TensorSource& source) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const formats::TensorInfo& info : source.tensors())
    list.push_back(
        {{"name", info.name}, {"dtype", tensor::dtype_name(info.dtype)}, {"shape", info.shape}});
  return list;
}

void print_tensors(const formats::TensorSource& source) {
  for (const formats::TensorInfo& info : source.tensors())
    write_out(fmt::format("  {:<48} {:<5} {}\n", info.name, tensor::dtype_name(info.dtype),
                          tensor::shape_string(info.shape)));
}

}  // namespace sumi::cli

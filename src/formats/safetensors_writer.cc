#include <algorithm>
#include <set>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/bytes.h"
#include "formats/json.h"
#include "formats/safetensors.h"

namespace sumi::formats {

namespace {

const char* name_of_dtype(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return "F64";
    case DType::f32:
      return "F32";
    case DType::f16:
      return "F16";
    case DType::bf16:
      return "BF16";
    case DType::i64:
      return "I64";
    case DType::i32:
      return "I32";
    case DType::i16:
      return "I16";
    case DType::i8:
      return "I8";
    case DType::u8:
      return "U8";
    case DType::boolean:
      return "BOOL";
    default:
      return nullptr;
  }
}

}  // namespace

void write_safetensors(const std::string& path,
                       const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorProducer> producers;
  for (const auto& [name, tensor] : tensors) producers.push_back(TensorProducer::of(name, tensor));
  write_safetensors(path, producers, metadata);
}

void write_safetensors(const std::string& path, const std::vector<TensorProducer>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  // Wide elements first keeps every tensor aligned to its elements; otherwise the given order.
  std::vector<const TensorProducer*> order;
  for (const TensorProducer& item : tensors) order.push_back(&item);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return dtype_block_bytes(a->dtype) > dtype_block_bytes(b->dtype);
  });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string> names;
  int64_t offset = 0;
  for (const auto* item : order) {
    const std::string& name = item->name;
    const char* dtype = name_of_dtype(item->dtype);
    if (!dtype)
      fail("{}: tensor {}: safetensors cannot hold {}", path, shown(name),
           dtype_name(item->dtype));
    if (name.empty() || name == "__metadata__" || !names.insert(name).second)
      fail("{}: tensor name {} is reserved, empty or used twice", path, shown(name));
    const int64_t end = offset + tensor::byte_count(item->shape, item->dtype);
    header[name] = {{"dtype", dtype}, {"shape", item->shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail("{}: a tensor name or metadata value is not valid UTF-8", path);
  }
  text.append((8 - text.size() % 8) % 8, ' ');

  AtomicFile file(path);
  const uint64_t header_bytes = text.size();
  file.write(&header_bytes, sizeof header_bytes);
  file.write(text.data(), text.size());
  for (const TensorProducer* item : order) {
    const Tensor tensor = item->checked();
    file.write(tensor.bytes(), static_cast<size_t>(tensor.nbytes()));
  }
  file.commit();
}

}  // namespace sumi::formats

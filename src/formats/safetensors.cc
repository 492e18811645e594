#include "formats/safetensors.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "formats/bytes.h"
#include "formats/json.h"

namespace sumi::formats {

using nlohmann::json;

namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as in the reference implementation
constexpr size_t kMaxDims = 64;                    // as many as torch allows
constexpr const char* kMetadataKey = "__metadata__";

std::optional<DType> dtype_of_name(const std::string& name) {
  constexpr std::pair<const char*, DType> kNames[] = {
      {"F64", DType::f64}, {"F32", DType::f32},      {"F16", DType::f16}, {"BF16", DType::bf16},
      {"I64", DType::i64}, {"I32", DType::i32},      {"I16", DType::i16}, {"I8", DType::i8},
      {"U8", DType::u8},   {"BOOL", DType::boolean},
  };
  for (const auto& [known, dtype] : kNames)
    if (name == known) return dtype;
  return std::nullopt;
}

struct Entry {
  TensorInfo info;
  uint64_t begin, end;  // in the data
};

uint64_t require_offset(const json& pair, size_t i, const std::string& where) {
  if (!pair[i].is_number_unsigned())
    fail("{}: data_offsets: expected two counts of bytes, found {}", where, pair.dump());
  return pair[i].get<uint64_t>();
}

Entry read_entry(const std::string& name, const json& value, const std::string& path) {
  const std::string where = path + ": tensor " + shown(name);
  Entry entry{{name, {}, DType::f32, path}, 0, 0};
  const std::string type = require_string(value, "dtype", where);
  const std::optional<DType> dtype = dtype_of_name(type);
  if (!dtype) fail("{}: dtype {} is not supported", where, shown(type));
  entry.info.dtype = *dtype;
  entry.info.shape = require_ints(value, "shape", where);
  if (entry.info.shape.size() > kMaxDims)
    fail("{}: {} dimensions, at most {} are allowed", where, entry.info.shape.size(), kMaxDims);
  const std::optional<uint64_t> bytes = checked_byte_count(entry.info.shape, *dtype);
  if (!bytes) fail("{}: shape {} is out of range", where, tensor::shape_string(entry.info.shape));
  const json& pair = require_array(value, "data_offsets", where);
  if (pair.size() != 2) fail("{}: data_offsets: expected two, found {}", where, pair.size());
  entry.begin = require_offset(pair, 0, where);
  entry.end = require_offset(pair, 1, where);
  if (entry.begin > entry.end || entry.end - entry.begin != *bytes)
    fail("{}: {} {} takes {} bytes, data_offsets are [{}, {}]", where, type,
         tensor::shape_string(entry.info.shape), *bytes, entry.begin, entry.end);
  return entry;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path)
    : path_(path), file_(std::make_shared<base::MappedFile>(path)) {
  const std::string_view all(reinterpret_cast<const char*>(file_->data()), file_->size());
  if (all.size() < 9 || all[8] != '{') fail_if_known_stranger(path_, all.substr(0, 64));
  ByteCursor cursor(file_->data(), file_->size(), path_);
  const uint64_t header_bytes = cursor.read<uint64_t>("header length");
  if (header_bytes > kMaxHeaderBytes)
    fail("{}: header of {} bytes, at most {} are allowed (is this a safetensors file?)", path_,
         header_bytes, kMaxHeaderBytes);
  const std::string_view text = cursor.read_bytes(header_bytes, "header");
  if (text.empty() || text[0] != '{') fail("{}: the header does not start with '{{'", path_);
  JsonLimits limits;
  limits.depth = 8;  // three are used; the rest leaves room for fields that readers ignore
  limits.unique_keys = true;
  const json header = parse_json(text, path_ + ": header", limits);

  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != kMetadataKey) {
      entries.push_back(read_entry(name, value, path_));
      continue;
    }
    if (!value.is_object()) fail("{}: {}: expected an object of strings", path_, kMetadataKey);
    for (const auto& [key, item] : value.items()) {
      if (!item.is_string()) fail("{}: {}: {}: expected a string", path_, kMetadataKey, shown(key));
      metadata_[key] = item.get<std::string>();
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.info.name) < std::tie(b.begin, b.end, b.info.name);
  });
  const uint64_t data_start = cursor.position(), data_bytes = cursor.remaining();
  uint64_t end = 0;
  for (Entry& entry : entries) {
    if (entry.begin != end)
      fail("{}: tensor {}: data_offsets begin at {}, expected {} ({} in the data)", path_,
           shown(entry.info.name), entry.begin, end, entry.begin < end ? "an overlap" : "a hole");
    if (entry.end > data_bytes)
      fail("{}: tensor {}: data_offsets end at {}, the file has {} bytes of data (truncated?)",
           path_, shown(entry.info.name), entry.end, data_bytes);
    end = entry.end;
    index_.emplace(entry.info.name, tensors_.size());
    offsets_.push_back(data_start + entry.begin);
    tensors_.push_back(std::move(entry.info));
  }
  if (end != data_bytes)
    fail("{}: tensors take {} bytes, the file has {} bytes of data", path_, end, data_bytes);
}

size_t SafetensorsFile::index_of(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) fail("{}: no tensor named {}", path_, shown(name));
  return found->second;
}

Tensor SafetensorsFile::get(const std::string& name) const {
  const size_t i = index_of(name);
  return tensor_in_file(file_, offsets_[i], tensors_[i].shape, tensors_[i].dtype);
}

void SafetensorsFile::release(const std::string& name) const {
  const size_t i = index_of(name);
  file_->drop(offsets_[i], *checked_byte_count(tensors_[i].shape, tensors_[i].dtype));
}

}  // namespace sumi::formats

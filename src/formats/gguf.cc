#include "formats/gguf.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <type_traits>

#include "base/error.h"
#include "formats/bytes.h"
#include "formats/gguf_types.h"

namespace sumi::formats {

namespace {

constexpr uint64_t kMaxNameBytes =
    65535;  // keys and tensor names; ggml's docs/gguf.md limits keys to this

// Bytes that one value takes at least.
uint64_t least_bytes(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::string:
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    case GgufType::array:
      return 12;
  }
  return 1;
}

class MetadataReader {
 public:
  MetadataReader(ByteCursor& cursor, const std::string& path) : cursor_(cursor), path_(path) {}

  std::string_view read_view(const char* field) {
    const uint64_t length = cursor_.read<uint64_t>(field);
    return cursor_.read_bytes(length, field);
  }

  std::string read_string(const char* field) { return std::string(read_view(field)); }

  std::string read_name(const char* field) {
    const size_t start = cursor_.position();
    std::string name = read_string(field);
    if (name.empty()) fail("{}: {} at offset {} is empty", path_, field, start);
    if (name.size() > kMaxNameBytes)
      fail("{}: {} at offset {} has {} bytes, at most {} are allowed", path_, field, start,
           name.size(), kMaxNameBytes);
    return name;
  }

  GgufValue read_value(const std::string& key) {
    const GgufType type = read_type(key, "type");
    switch (type) {
      case GgufType::f32:
      case GgufType::f64:
        return read_float(type);
      case GgufType::boolean:
        return read_bool(key);
      case GgufType::string:
        return read_string("metadata string");
      case GgufType::array:
        return read_array(key);
      case GgufType::u64: {
        const uint64_t value = cursor_.read<uint64_t>("metadata value");
        if (value > kMaxInt) return value;
        return static_cast<int64_t>(value);
      }
      default:
        return read_int(type, key);
    }
  }

 private:
  static constexpr uint64_t kMaxInt = std::numeric_limits<int64_t>::max();

  GgufType read_type(const std::string& key, const char* what) {
    const uint32_t type = cursor_.read<uint32_t>("metadata type");
    if (type >= kGgufTypes)
      fail("{}: metadata key {}: unknown {} {} (0 to {} are known)", path_, shown(key), what, type,
           kGgufTypes - 1);
    return static_cast<GgufType>(type);
  }

  int64_t read_int(GgufType type, const std::string& key) {
    constexpr const char* kField = "metadata value";
    switch (type) {
      case GgufType::u8:
        return cursor_.read<uint8_t>(kField);
      case GgufType::i8:
        return cursor_.read<int8_t>(kField);
      case GgufType::u16:
        return cursor_.read<uint16_t>(kField);
      case GgufType::i16:
        return cursor_.read<int16_t>(kField);
      case GgufType::u32:
        return cursor_.read<uint32_t>(kField);
      case GgufType::i32:
        return cursor_.read<int32_t>(kField);
      case GgufType::i64:
        return cursor_.read<int64_t>(kField);
      default:
        break;
    }
    const uint64_t value = cursor_.read<uint64_t>(kField);
    if (value > kMaxInt)
      fail("{}: metadata key {}: array element {} does not fit a signed 64-bit integer", path_,
           shown(key), value);
    return static_cast<int64_t>(value);
  }

  double read_float(GgufType type) {
    if (type == GgufType::f32) return cursor_.read<float>("metadata value");
    return cursor_.read<double>("metadata value");
  }

  bool read_bool(const std::string& key) {
    const uint8_t value = cursor_.read<uint8_t>("metadata value");
    if (value > 1)
      fail("{}: metadata key {}: expected a bool of 0 or 1, found {}", path_, shown(key), value);
    return value == 1;
  }

  GgufValue read_array(const std::string& key) {
    const GgufType type = read_type(key, "array element type");
    if (type == GgufType::array)
      fail("{}: metadata key {}: nested arrays are not supported", path_, shown(key));
    const uint64_t count = cursor_.read<uint64_t>("metadata array length");
    cursor_.need_items(count, least_bytes(type), ("metadata array " + shown(key)).c_str());
    switch (type) {
      case GgufType::f32:
      case GgufType::f64:
        return read_items<double>(count, [&] { return read_float(type); });
      case GgufType::boolean:
        return read_items<bool>(count, [&] { return read_bool(key); });
      case GgufType::string:
        return read_items<std::string_view>(count, [&] { return read_view("metadata array string"); });
      default:
        return read_items<int64_t>(count, [&] { return read_int(type, key); });
    }
  }

  template <class T, class Read>
  std::vector<T> read_items(uint64_t count, const Read& read) {
    std::vector<T> items;
    items.reserve(count);  // need_items() has bounded it by the file's size
    for (uint64_t i = 0; i < count; ++i) items.push_back(read());
    return items;
  }

  ByteCursor& cursor_;
  const std::string& path_;
};

uint32_t read_header_version(ByteCursor& cursor, const std::string& path) {
  const std::string_view magic = cursor.read_bytes(4, "magic number");
  if (magic != "GGUF") fail("{}: not a GGUF file: starts with {}", path, shown(magic));
  const uint32_t version = cursor.read<uint32_t>("version");
  if ((version & 0xffff) == 0 && version != 0)
    fail("{}: big-endian GGUF files are not supported", path);
  if (version != 2 && version != 3)
    fail("{}: GGUF version {} is not supported, expected 2 or 3", path, version);
  return version;
}

const char* value_kind(const GgufValue& value) {
  constexpr const char* kKinds[] = {"an integer",
                                    "an integer",
                                    "a number",
                                    "a bool",
                                    "a string",
                                    "an array of integers",
                                    "an array of numbers",
                                    "an array of bools",
                                    "an array of strings"};
  return kKinds[value.index()];
}

[[noreturn]] void fail_kind(const std::string& path, const std::string& key, const char* expected,
                            const GgufValue& found) {
  fail("{}: metadata key {}: expected {}, found {}", path, shown(key), expected, value_kind(found));
}

}  // namespace

GgufFile::GgufFile(const std::string& path)
    : path_(path), file_(std::make_shared<base::MappedFile>(path)) {
  const char* start = reinterpret_cast<const char*>(file_->data());
  if (file_->size() < 4 || std::string_view(start, 4) != "GGUF")
    fail_if_known_stranger(path_, {start, std::min<size_t>(file_->size(), 64)});
  ByteCursor cursor(file_->data(), file_->size(), path_);
  version_ = read_header_version(cursor, path_);
  const uint64_t tensor_count = cursor.read<uint64_t>("tensor count");
  const uint64_t key_count = cursor.read<uint64_t>("metadata count");
  // A tensor takes at least name length, name, dims, type and offset; a key its length, itself,
  // type, value.
  cursor.need_items(tensor_count, 8 + 1 + 4 + 4 + 8, "tensor count");
  cursor.need_items(key_count, 8 + 1 + 4 + 1, "metadata count");
  read_metadata(cursor, key_count);
  read_tensor_infos(cursor, tensor_count);
  place_tensors(cursor.position());
}

void GgufFile::read_metadata(ByteCursor& cursor, uint64_t count) {
  MetadataReader reader(cursor, path_);
  for (uint64_t i = 0; i < count; ++i) {
    std::string key = reader.read_name("metadata key");
    const size_t position = cursor.position();
    GgufValue value = reader.read_value(key);
    if (!metadata_.emplace(key, Entry{position, std::move(value)}).second)
      fail("{}: metadata key {} appears twice", path_, shown(key));
    keys_.push_back(std::move(key));
  }
}

void GgufFile::read_tensor_infos(ByteCursor& cursor, uint64_t count) {
  MetadataReader reader(cursor, path_);
  for (uint64_t i = 0; i < count; ++i) {
    TensorInfo info;
    info.name = reader.read_name("tensor name");
    info.file = path_;
    const uint32_t dims = cursor.read<uint32_t>("tensor dimension count");
    if (dims > kGgufMaxDims)
      fail("{}: tensor {}: {} dimensions, at most {} are allowed", path_, shown(info.name), dims,
           kGgufMaxDims);
    for (uint32_t axis = 0; axis < dims; ++axis) {
      const uint64_t size = cursor.read<uint64_t>("tensor size");
      if (size == 0 || size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        fail("{}: tensor {}: size {} of dimension {} is out of range", path_, shown(info.name),
             size, axis);
      info.shape.push_back(static_cast<int64_t>(size));
    }
    std::reverse(info.shape.begin(), info.shape.end());
    const uint32_t type = cursor.read<uint32_t>("tensor type");
    const std::optional<DType> dtype = dtype_of_ggml_type(type);
    if (!dtype)
      fail("{}: tensor {}: element type {} ({}) is not supported", path_, shown(info.name), type,
           ggml_type_name(type));
    info.dtype = *dtype;
    const int64_t block = dtype_block_size(info.dtype);
    if ((info.shape.empty() ? 1 : info.shape.back()) % block != 0)
      fail("{}: tensor {}: rows of {} are not whole blocks of {} ({})", path_, shown(info.name),
           info.shape.empty() ? 1 : info.shape.back(), block, dtype_name(info.dtype));
    offsets_.push_back(cursor.read<uint64_t>("tensor offset"));
    if (!index_.emplace(info.name, tensors_.size()).second)
      fail("{}: tensor {} appears twice", path_, shown(info.name));
    tensors_.push_back(std::move(info));
  }
}

void GgufFile::place_tensors(size_t header_bytes) {
  header_bytes_ = header_bytes;
  const int64_t alignment = get_int("general.alignment", kGgufDefaultAlignment);
  if (alignment < kGgufMinAlignment || alignment > kGgufMaxAlignment ||
      (alignment & (alignment - 1)) != 0)
    fail("{}: general.alignment: expected a power of two from {} to {}, found {}", path_,
         kGgufMinAlignment, kGgufMaxAlignment, alignment);
  const uint64_t step = static_cast<uint64_t>(alignment);
  const uint64_t file_bytes = file_->size();
  const uint64_t data_start = (header_bytes + step - 1) / step * step;
  const uint64_t data_bytes = data_start < file_bytes ? file_bytes - data_start : 0;

  std::vector<uint64_t> sizes(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const TensorInfo& info = tensors_[i];
    const std::optional<uint64_t> bytes = checked_byte_count(info.shape, info.dtype);
    if (!bytes)
      fail("{}: tensor {}: {} {} is larger than any file", path_, shown(info.name),
           dtype_name(info.dtype), tensor::shape_string(info.shape));
    const uint64_t offset = offsets_[i];
    if (offset % step != 0)
      fail("{}: tensor {}: offset {} is not a multiple of the alignment {}", path_,
           shown(info.name), offset, step);
    if (offset > data_bytes || *bytes > data_bytes - offset)
      fail("{}: tensor {}: {} {} needs {} bytes at offset {} of the data, which has only {} bytes",
           path_, shown(info.name), dtype_name(info.dtype), tensor::shape_string(info.shape),
           *bytes, offset, data_bytes);
    sizes[i] = *bytes;
    offsets_[i] = data_start + offset;
  }

  std::vector<size_t> order(tensors_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return offsets_[a] < offsets_[b]; });
  for (size_t i = 1; i < order.size(); ++i)
    if (offsets_[order[i - 1]] + sizes[order[i - 1]] > offsets_[order[i]])
      fail("{}: tensors {} and {} overlap", path_, shown(tensors_[order[i - 1]].name),
           shown(tensors_[order[i]].name));
}

size_t GgufFile::index_of(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) fail("{}: no tensor named {}", path_, shown(name));
  return found->second;
}

Tensor GgufFile::get(const std::string& name) const {
  const size_t i = index_of(name);
  return Tensor::view_of(file_, file_->data() + offsets_[i], tensors_[i].shape, tensors_[i].dtype);
}

void GgufFile::release_header() const {
  constexpr size_t kArrays = 5;  // the first alternative of GgufValue that is an array
  static_assert(std::is_same_v<std::variant_alternative_t<kArrays, GgufValue>, std::vector<int64_t>>);
  for (auto& [key, entry] : metadata_)
    if (entry.value && entry.value->index() >= kArrays) entry.value.reset();
  file_->drop(0, header_bytes_);
}

void GgufFile::release(const std::string& name) const {
  const size_t i = index_of(name);
  file_->drop(offsets_[i], *checked_byte_count(tensors_[i].shape, tensors_[i].dtype));
}

const GgufValue& GgufFile::value(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) fail("{}: no metadata key {}", path_, shown(key));
  Entry& entry = found->second;
  if (!entry.value) {
    ByteCursor cursor(file_->data(), file_->size(), path_);
    cursor.read_bytes(entry.position, "metadata");
    entry.value = MetadataReader(cursor, path_).read_value(key);
  }
  return *entry.value;
}

int64_t GgufFile::get_int(const std::string& key) const {
  const GgufValue& found = value(key);
  if (const int64_t* v = std::get_if<int64_t>(&found)) return *v;
  if (const uint64_t* v = std::get_if<uint64_t>(&found))
    fail("{}: metadata key {}: {} does not fit a signed 64-bit integer", path_, shown(key), *v);
  fail_kind(path_, key, "an integer", found);
}

int64_t GgufFile::get_int(const std::string& key, int64_t missing) const {
  return has_key(key) ? get_int(key) : missing;
}

double GgufFile::get_float(const std::string& key) const {
  const GgufValue& found = value(key);
  if (const double* v = std::get_if<double>(&found)) return *v;
  if (const int64_t* v = std::get_if<int64_t>(&found)) return static_cast<double>(*v);
  if (const uint64_t* v = std::get_if<uint64_t>(&found)) return static_cast<double>(*v);
  fail_kind(path_, key, "a number", found);
}

double GgufFile::get_float(const std::string& key, double missing) const {
  return has_key(key) ? get_float(key) : missing;
}

bool GgufFile::get_bool(const std::string& key, bool missing) const {
  if (!has_key(key)) return missing;
  const GgufValue& found = value(key);
  if (const bool* v = std::get_if<bool>(&found)) return *v;
  fail_kind(path_, key, "a bool", found);
}

const std::string& GgufFile::get_string(const std::string& key) const {
  const GgufValue& found = value(key);
  if (const std::string* v = std::get_if<std::string>(&found)) return *v;
  fail_kind(path_, key, "a string", found);
}

std::string GgufFile::get_string(const std::string& key, const std::string& missing) const {
  return has_key(key) ? get_string(key) : missing;
}

const std::vector<std::string_view>& GgufFile::get_strings(const std::string& key) const {
  const GgufValue& found = value(key);
  if (const auto* v = std::get_if<std::vector<std::string_view>>(&found)) return *v;
  fail_kind(path_, key, "an array of strings", found);
}

std::vector<int64_t> GgufFile::get_ints(const std::string& key) const {
  const GgufValue& found = value(key);
  if (const auto* v = std::get_if<std::vector<int64_t>>(&found)) return *v;
  fail_kind(path_, key, "an array of integers", found);
}

std::vector<double> GgufFile::get_floats(const std::string& key) const {
  const GgufValue& found = value(key);
  if (const auto* v = std::get_if<std::vector<double>>(&found)) return *v;
  if (const auto* v = std::get_if<std::vector<int64_t>>(&found)) return {v->begin(), v->end()};
  fail_kind(path_, key, "an array of numbers", found);
}

}  // namespace sumi::formats

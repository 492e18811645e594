#include "formats/gguf_writer.h"

#include <algorithm>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/bytes.h"

namespace sumi::formats {

namespace {

constexpr const char* kAlignmentKey = "general.alignment";

template <class T>
void append_bytes(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string& to, const std::string& text) {
  append_bytes(to, uint64_t{text.size()});
  to += text;
}

uint64_t padding(uint64_t position, uint64_t alignment) {
  return (alignment - position % alignment) % alignment;
}

}  // namespace

template <class T>
void GgufWriter::append(const T& value) {
  append_bytes(metadata_, value);
}

void GgufWriter::append_string(const std::string& text) { append_text(metadata_, text); }

void GgufWriter::begin_value(const std::string& key, GgufType type) {
  if (key.empty()) fail("GGUF metadata: a key is empty");
  if (key == kAlignmentKey) fail("GGUF metadata: {} is set by set_alignment()", key);
  if (std::find(keys_.begin(), keys_.end(), key) != keys_.end())
    fail("GGUF metadata: key {} is set twice", shown(key));
  keys_.push_back(key);
  append_string(key);
  append(static_cast<uint32_t>(type));
}

template <class T>
void GgufWriter::append_array(GgufType type, const std::vector<T>& values) {
  append(static_cast<uint32_t>(type));
  append(uint64_t{values.size()});
  for (const T& value : values) append(value);
}

void GgufWriter::set_uint32(const std::string& key, uint32_t value) {
  begin_value(key, GgufType::u32);
  append(value);
}

void GgufWriter::set_int32(const std::string& key, int32_t value) {
  begin_value(key, GgufType::i32);
  append(value);
}

void GgufWriter::set_uint64(const std::string& key, uint64_t value) {
  begin_value(key, GgufType::u64);
  append(value);
}

void GgufWriter::set_float32(const std::string& key, float value) {
  begin_value(key, GgufType::f32);
  append(value);
}

void GgufWriter::set_bool(const std::string& key, bool value) {
  begin_value(key, GgufType::boolean);
  append(static_cast<uint8_t>(value));
}

void GgufWriter::set_string(const std::string& key, const std::string& value) {
  begin_value(key, GgufType::string);
  append_string(value);
}

void GgufWriter::set_strings(const std::string& key, const std::vector<std::string>& values) {
  begin_value(key, GgufType::array);
  append(static_cast<uint32_t>(GgufType::string));
  append(uint64_t{values.size()});
  for (const std::string& value : values) append_string(value);
}

void GgufWriter::set_int32s(const std::string& key, const std::vector<int32_t>& values) {
  begin_value(key, GgufType::array);
  append_array(GgufType::i32, values);
}

void GgufWriter::set_float32s(const std::string& key, const std::vector<float>& values) {
  begin_value(key, GgufType::array);
  append_array(GgufType::f32, values);
}

void GgufWriter::set_bytes(const std::string& key, std::string_view bytes) {
  begin_value(key, GgufType::array);
  append(static_cast<uint32_t>(GgufType::u8));
  append(uint64_t{bytes.size()});
  metadata_ += bytes;
}

void GgufWriter::set(const std::string& key, const GgufValue& value) {
  const auto fits_i32 = [](int64_t x) { return x == static_cast<int32_t>(x); };
  const auto fits_f32 = [](double x) { return x == static_cast<double>(static_cast<float>(x)); };
  if (const auto* number = std::get_if<int64_t>(&value)) {
    if (*number == static_cast<uint32_t>(*number))
      return set_uint32(key, static_cast<uint32_t>(*number));
    if (fits_i32(*number)) return set_int32(key, static_cast<int32_t>(*number));
    begin_value(key, GgufType::i64);
    append(*number);
  } else if (const auto* large = std::get_if<uint64_t>(&value)) {
    set_uint64(key, *large);
  } else if (const auto* real = std::get_if<double>(&value)) {
    if (fits_f32(*real)) return set_float32(key, static_cast<float>(*real));
    begin_value(key, GgufType::f64);
    append(*real);
  } else if (const auto* truth = std::get_if<bool>(&value)) {
    set_bool(key, *truth);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    set_string(key, *text);
  } else if (const auto* texts = std::get_if<std::vector<std::string_view>>(&value)) {
    set_strings(key, {texts->begin(), texts->end()});
  } else if (const auto* numbers = std::get_if<std::vector<int64_t>>(&value)) {
    if (std::all_of(numbers->begin(), numbers->end(), fits_i32))
      return set_int32s(key, {numbers->begin(), numbers->end()});
    begin_value(key, GgufType::array);
    append_array(GgufType::i64, *numbers);
  } else if (const auto* reals = std::get_if<std::vector<double>>(&value)) {
    if (std::all_of(reals->begin(), reals->end(), fits_f32))
      return set_float32s(key, {reals->begin(), reals->end()});
    begin_value(key, GgufType::array);
    append_array(GgufType::f64, *reals);
  } else {
    const auto& truths = std::get<std::vector<bool>>(value);
    begin_value(key, GgufType::array);
    append_array(GgufType::boolean, std::vector<uint8_t>(truths.begin(), truths.end()));
  }
}

void GgufWriter::set_alignment(uint32_t alignment) {
  if (alignment < kGgufMinAlignment || alignment > kGgufMaxAlignment ||
      (alignment & (alignment - 1)) != 0)
    fail("GGUF alignment: expected a power of two from {} to {}, found {}", kGgufMinAlignment,
         kGgufMaxAlignment, alignment);
  alignment_ = alignment;
}

void GgufWriter::add_tensor(const TensorProducer& tensor) {
  const std::string& name = tensor.name;
  if (name.empty()) fail("GGUF tensor: a name is empty");
  for (const TensorProducer& known : tensors_)
    if (known.name == name) fail("GGUF tensor {}: added twice", shown(name));
  if (!ggml_type_of_dtype(tensor.dtype))
    fail("GGUF tensor {}: GGUF has no type {}", shown(name), dtype_name(tensor.dtype));
  if (tensor.shape.size() > kGgufMaxDims || tensor::element_count(tensor.shape) == 0)
    fail("GGUF tensor {}: shape {}: expected at most {} sizes, none of them 0", shown(name),
         tensor::shape_string(tensor.shape), kGgufMaxDims);
  tensors_.push_back(tensor);
}

uint64_t GgufWriter::tensor_bytes() const {
  uint64_t bytes = 0;
  for (const TensorProducer& tensor : tensors_)
    bytes += static_cast<uint64_t>(tensor::byte_count(tensor.shape, tensor.dtype));
  return bytes;
}

void GgufWriter::write(const std::string& path) const {
  std::string header = "GGUF";
  append_bytes(header, uint32_t{3});
  append_bytes(header, uint64_t{tensors_.size()});
  const bool own_alignment = alignment_ != kGgufDefaultAlignment;
  append_bytes(header, uint64_t{keys_.size() + own_alignment});
  header += metadata_;
  if (own_alignment) {
    append_text(header, kAlignmentKey);
    append_bytes(header, static_cast<uint32_t>(GgufType::u32));
    append_bytes(header, alignment_);
  }
  uint64_t offset = 0;
  for (const TensorProducer& tensor : tensors_) {
    append_text(header, tensor.name);
    append_bytes(header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)
      append_bytes(header, *size);
    append_bytes(header, *ggml_type_of_dtype(tensor.dtype));
    append_bytes(header, offset);
    offset += static_cast<uint64_t>(tensor::byte_count(tensor.shape, tensor.dtype));
    offset += padding(offset, alignment_);
  }
  AtomicFile file(path);
  file.write(header.data(), header.size());
  for (const TensorProducer& item : tensors_) {
    file.write_zeros(padding(file.written(), alignment_));
    const Tensor tensor = item.checked();
    file.write(tensor.bytes(), static_cast<size_t>(tensor.nbytes()));
  }
  // Readers of ggml expect the last tensor's padding too.
  file.write_zeros(padding(file.written(), alignment_));
  file.commit();
}

}  // namespace sumi::formats

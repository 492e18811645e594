// Writes GGUF files, version 3.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/gguf.h"
#include "formats/gguf_types.h"
#include "formats/tensor_producer.h"

namespace sumi::formats {

class GgufWriter {
 public:
  // Metadata in the order of the calls. Throws Error on an empty key or one set before.
  void set_uint32(const std::string& key, uint32_t value);
  void set_int32(const std::string& key, int32_t value);
  void set_uint64(const std::string& key, uint64_t value);
  void set_float32(const std::string& key, float value);
  void set_bool(const std::string& key, bool value);
  void set_string(const std::string& key, const std::string& value);
  void set_strings(const std::string& key, const std::vector<std::string>& values);
  void set_int32s(const std::string& key, const std::vector<int32_t>& values);
  void set_float32s(const std::string& key, const std::vector<float>& values);
  void set_bytes(const std::string& key, std::string_view bytes);  // an array of u8
  // A value as a GgufFile holds it (integers as int64 or uint64, floats as float64), to copy
  // metadata. Written in 32 bits where those hold it, as llama.cpp wants numbers; what must stay
  // bytes is copied by set_bytes.
  void set(const std::string& key, const GgufValue& value);

  // The tensor's bytes are read, or made, by write(). Throws Error on an empty or repeated name, a
  // type that GGUF has not, more than four sizes, or a size of 0.
  void add_tensor(const TensorProducer& tensor);
  void add_tensor(const std::string& name, const Tensor& tensor) {
    add_tensor(TensorProducer::of(name, tensor));
  }
  uint64_t tensor_bytes() const;  // of all tensors, without padding

  // Power of two from 8 to 65536; written as general.alignment unless it is the format's default
  // of 32.
  void set_alignment(uint32_t alignment);

  // Under a temporary name first, then renamed: `path` is never half a file. Throws Error if that
  // fails.
  void write(const std::string& path) const;

 private:
  void begin_value(const std::string& key, GgufType type);
  void append_string(const std::string& text);
  template <class T>
  void append(const T& value);
  template <class T>
  void append_array(GgufType type, const std::vector<T>& values);

  uint32_t alignment_ = kGgufDefaultAlignment;
  std::vector<std::string> keys_;
  std::string metadata_;  // encoded
  std::vector<TensorProducer> tensors_;
};

}  // namespace sumi::formats

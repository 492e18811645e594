// GGUF files, versions 2 and 3 (little-endian). Format: ggml's docs/gguf.md.
//
// Every count, length, offset and size is checked against the file before it is used. Sizes in the
// file are listed fastest first; TensorInfo::shape has them row-major.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/memory.h"
#include "formats/tensor_source.h"

namespace sumi::formats {

class ByteCursor;

// A metadata value. Integers are widened to int64_t (uint64_t holds only values beyond it), floats
// to double; an array of integers beyond int64_t, or of arrays, is refused. The strings of an array
// lie in the mapped file: they live as long as the GgufFile.
using GgufValue = std::variant<int64_t, uint64_t, double, bool, std::string, std::vector<int64_t>,
                               std::vector<double>, std::vector<bool>, std::vector<std::string_view>>;

class GgufFile : public TensorSource {
 public:
  // Maps and checks the file. Throws Error naming the file and the field at fault.
  explicit GgufFile(const std::string& path);

  std::string describe() const override { return path_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool has(const std::string& name) const override { return index_.count(name) > 0; }
  Tensor get(const std::string& name) const override;
  void release(const std::string& name) const override;

  // Gives back the memory of the header's pages and of arrays, which are read from the file again when looked at:
  // references to them end here, string views do not. For one thread at a time.
  void release_header() const;

  uint32_t version() const { return version_; }
  const std::vector<std::string>& keys() const { return keys_; }  // in file order
  bool has_key(const std::string& key) const { return metadata_.count(key) > 0; }
  const GgufValue& value(const std::string& key) const;  // throws Error if there is none
  // Typed reads. The first form throws Error if the key is missing; both throw if it has another
  // type (any integer type will do for get_int, any number for get_float).
  int64_t get_int(const std::string& key) const;
  int64_t get_int(const std::string& key, int64_t missing) const;
  double get_float(const std::string& key) const;
  double get_float(const std::string& key, double missing) const;
  bool get_bool(const std::string& key, bool missing) const;
  const std::string& get_string(const std::string& key) const;
  std::string get_string(const std::string& key, const std::string& missing) const;
  const std::vector<std::string_view>& get_strings(const std::string& key) const;
  std::vector<int64_t> get_ints(const std::string& key) const;
  std::vector<double> get_floats(const std::string& key) const;

 private:
  void read_metadata(ByteCursor& cursor, uint64_t count);
  void read_tensor_infos(ByteCursor& cursor, uint64_t count);
  // Checks the tensors' places and turns offsets_ from "in the data" to "in the file".
  void place_tensors(size_t header_bytes);
  size_t index_of(const std::string& name) const;

  std::string path_;
  std::shared_ptr<base::MappedFile> file_;
  uint32_t version_ = 0;
  size_t header_bytes_ = 0;
  std::vector<std::string> keys_;
  struct Entry {
    size_t position;                 // of the value's type in the file
    std::optional<GgufValue> value;  // none: given back
  };
  mutable std::unordered_map<std::string, Entry> metadata_;
  std::vector<TensorInfo> tensors_;
  std::vector<uint64_t> offsets_;  // from the start of the file, one per tensor
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace sumi::formats

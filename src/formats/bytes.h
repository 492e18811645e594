// Reading untrusted bytes: a cursor that never passes the end, and sizes that never wrap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/memory.h"
#include "tensor/tensor.h"

namespace sumi::formats {

// Text from a file, made fit for a message: in quotes, cut to 80 bytes, control and non-ASCII bytes
// as \xNN (a terminal must not act on them).
std::string shown(std::string_view text);

// Bytes of a tensor of these sizes (row-major), or nothing if a size is negative, the product
// overflows int64, or the last size is not a whole number of blocks.
std::optional<uint64_t> checked_byte_count(const Shape& shape, DType dtype);

// Throws an Error that names what the bytes are instead, if they are recognised (a Git LFS pointer,
// a web page, a zip archive); returns otherwise. For readers whose magic number did not match.
void fail_if_known_stranger(const std::string& path, std::string_view start);

// Elements at `offset` of a file, which the caller has checked to hold them: a view, or a copy
// where they are not aligned to their size.
Tensor tensor_in_file(const std::shared_ptr<base::MappedFile>& file, uint64_t offset,
                      const Shape& shape, DType dtype);

// Little-endian values in order. Each read names its field, for the message when the data ends.
class ByteCursor {
 public:
  ByteCursor(const std::byte* data, size_t size, const std::string& path)
      : data_(data), size_(size), path_(path) {}

  size_t position() const { return position_; }
  size_t remaining() const { return size_ - position_; }
  std::string_view rest() const {
    return {reinterpret_cast<const char*>(data_ + position_), remaining()};
  }

  template <class T>
  T read(const char* field) {
    T value;
    need(sizeof value, field);
    std::memcpy(&value, data_ + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }
  std::string_view read_bytes(uint64_t count, const char* field) {
    need(count, field);
    const char* start = reinterpret_cast<const char*>(data_ + position_);
    position_ += static_cast<size_t>(count);
    return {start, static_cast<size_t>(count)};
  }
  // Throws unless `count` items of at least `bytes` each can follow.
  void need_items(uint64_t count, uint64_t bytes, const char* field) const {
    if (count > remaining() / bytes)
      fail("{}: {}: {} entries of at least {} bytes cannot fit in the {} bytes left at offset {}",
           path_, field, count, bytes, remaining(), position_);
  }

 private:
  void need(uint64_t count, const char* field) const {
    if (count > remaining())
      fail("{}: truncated: {} needs {} bytes at offset {}, the file has {}", path_, field, count,
           position_, remaining());
  }

  const std::byte* data_;
  size_t size_;
  const std::string& path_;
  size_t position_ = 0;
};

}  // namespace sumi::formats

#include "formats/bytes.h"

namespace sumi::formats {

std::string shown(std::string_view text) {
  constexpr size_t kLimit = 80;
  std::string result = "\"";
  for (const char c : text.substr(0, kLimit)) {
    if (c >= 0x20 && c < 0x7f)
      result += c;
    else
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return result + (text.size() > kLimit ? "...\"" : "\"");
}

std::optional<uint64_t> checked_byte_count(const Shape& shape, DType dtype) {
  const int64_t block = dtype_block_size(dtype), block_bytes = dtype_block_bytes(dtype);
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
  }
  if ((shape.empty() ? 1 : shape.back()) % block != 0) return std::nullopt;
  if (empty) return 0;
  int64_t count = 1;
  for (const int64_t size : shape)
    if (__builtin_mul_overflow(count, size, &count)) return std::nullopt;
  int64_t bytes = 0;
  if (__builtin_mul_overflow(count / block, block_bytes, &bytes)) return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

void fail_if_known_stranger(const std::string& path, std::string_view start) {
  const auto begins = [&](std::string_view prefix) {
    return start.substr(0, prefix.size()) == prefix;
  };
  if (start.empty()) fail("{}: the file is empty", path);
  if (begins("version https://git-lfs"))
    fail("{}: this is a Git LFS pointer, not the file itself; download the file (git lfs pull)",
         path);
  if (begins("<!DOCTYPE") || begins("<!doctype") || begins("<html"))
    fail("{}: this is a web page, not a model file; the download went wrong", path);
  if (begins("PK\x03\x04")) fail("{}: this is a zip archive (a PyTorch checkpoint?)", path);
}

Tensor tensor_in_file(const std::shared_ptr<base::MappedFile>& file, uint64_t offset,
                      const Shape& shape, DType dtype) {
  const std::byte* data = file->data() + offset;
  const auto address = reinterpret_cast<uintptr_t>(data);
  if (address % static_cast<uintptr_t>(dtype_block_bytes(dtype)) == 0)
    return Tensor::view_of(file, data, shape, dtype);
  // Some writers do not align the data; elements must be, so such a tensor is copied.
  Tensor copy = Tensor::empty(shape, dtype);
  const size_t bytes = static_cast<size_t>(copy.nbytes());
  if (bytes > 0) std::memcpy(copy.bytes(), data, bytes);
  return copy;
}

}  // namespace sumi::formats

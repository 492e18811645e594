// A file that appears under its name only when it is whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sumi::formats {

// Writes to a temporary name in the same folder. commit() syncs it to the disk and renames it to
// `path`; without commit(), the destructor removes it and `path` stays as it was.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);  // throws Error if the folder cannot be written to
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);  // throws Error, e.g. on a full disk
  void write_zeros(size_t bytes);
  uint64_t written() const { return written_; }
  void commit();

 private:
  std::string path_, temporary_;
  int fd_ = -1;
  uint64_t written_ = 0;
};

// The whole of a file, through an AtomicFile.
void write_text_file(const std::string& path, const std::string& text);

}  // namespace sumi::formats

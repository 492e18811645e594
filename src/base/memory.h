// Aligned memory, files mapped read-only, and what the process has used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace sumi::base {

inline constexpr size_t kAlignment = 64;  // a cache line and an AVX-512 register

// Uninitialised memory aligned to kAlignment; blocks of 4 MiB and more ask for huge pages.
// bytes may be 0. Throws Error naming the size when memory is short.
std::shared_ptr<std::byte> allocate(size_t bytes);

// Memory for many blocks that live about as long as each other, such as a model's weights: cut from large stretches
// of huge pages one after the other. A stretch is freed with the last of its blocks.
class Arena {
 public:
  // Like allocate() above.
  std::shared_ptr<std::byte> allocate(size_t bytes);

 private:
  std::shared_ptr<std::byte> stretch_;
  size_t used_ = 0, size_ = 0;
};

// Memory that is kept between uses and grows when it must; what it held is then lost. For thread_local variables.
class Scratch {
 public:
  std::byte* at_least(size_t bytes) {
    if (size_ < bytes) {
      memory_.reset();
      memory_ = base::allocate(bytes);
      size_ = bytes;
    }
    return memory_.get();
  }
  size_t size() const { return size_; }

 private:
  std::shared_ptr<std::byte> memory_;
  size_t size_ = 0;
};

// A file mapped read-only for the life of the object.
class MappedFile {
 public:
  // Throws Error if the file cannot be opened, is not a regular file, or cannot be mapped.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }

  // Tells the system that this range was used and will not be needed again, so that it stops counting
  // as this process's memory, nor those pages around it that the system mapped with it. Reading any of
  // it later still works.
  void drop(size_t offset, size_t bytes) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Largest resident set of this process so far, in bytes.
size_t peak_memory_bytes();

// Memory the system could still give this process, in bytes (0 if unknown).
size_t available_memory_bytes();

}  // namespace sumi::base

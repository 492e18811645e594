#include "formats/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"

namespace sumi::formats {

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  static std::atomic<int> counter{0};
  temporary_ = fmt::format("{}.{}-{}.tmp", path, ::getpid(), counter++);
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("{}: cannot create: {}", temporary_, std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t count = ::write(fd_, next, bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail("{}: cannot write {} bytes: {}", temporary_, bytes, std::strerror(errno));
    next += count;
    bytes -= static_cast<size_t>(count);
    written_ += static_cast<uint64_t>(count);
  }
}

void AtomicFile::write_zeros(size_t bytes) {
  static constexpr char kZeros[4096] = {};
  for (; bytes > 0; bytes -= std::min(bytes, sizeof kZeros))
    write(kZeros, std::min(bytes, sizeof kZeros));
}

void AtomicFile::commit() {
  if (::fsync(fd_) != 0) fail("{}: cannot sync: {}", temporary_, std::strerror(errno));
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0) fail("{}: cannot close: {}", temporary_, std::strerror(errno));
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
    fail("{}: cannot rename to {}: {}", temporary_, path_, std::strerror(errno));
  temporary_.clear();
  // The new name survives a crash only once the folder is synced too; where folders cannot be,
  // nothing is lost.
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    ::fsync(fd);
    ::close(fd);
  }
}

void write_text_file(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text.data(), text.size());
  file.commit();
}

}  // namespace sumi::formats

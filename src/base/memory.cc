#include "base/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/unowned_memory.h"

namespace sumi::base {

namespace {
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kStretch = size_t{64} << 20;  // pages of it that are never touched take no memory
}

std::byte* allocate_unowned(size_t bytes, size_t room) {
  const bool huge = bytes >= 2 * kHugePage;
  const size_t alignment = huge ? kHugePage : kAlignment;
  if (room > SIZE_MAX - alignment) fail("out of memory: {} bytes asked for", bytes);
  const size_t rounded = (std::max<size_t>(room, 1) + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded);
  if (!memory) fail("out of memory: {} bytes asked for", bytes);
  // The last pages stay small: a whole huge page there would be mostly unused memory.
  if (huge) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  return static_cast<std::byte*>(memory);
}

std::shared_ptr<std::byte> allocate(size_t bytes) {
  return {allocate_unowned(bytes, bytes), [](std::byte* p) { std::free(p); }};
}

std::shared_ptr<std::byte> Arena::allocate(size_t bytes) {
  if (bytes > kStretch / 4) return base::allocate(bytes);  // large enough for pages of its own
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (rounded > size_ - used_) {
    stretch_ = base::allocate(kStretch);
    size_ = kStretch;
    used_ = 0;
  }
  std::byte* block = stretch_.get() + used_;
  used_ += rounded;
  return {stretch_, block};
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("{}: cannot open: {}", path, std::strerror(errno));
  struct stat info{};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    fail("{}: not a regular file", path);
  }
  size_ = static_cast<size_t>(info.st_size);
  if (size_ > 0) {
    void* memory = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) {
      const int error = errno;
      ::close(fd);
      fail("{}: cannot map {} bytes: {}", path, size_, std::strerror(error));
    }
    data_ = static_cast<const std::byte*>(memory);
  }
  ::close(fd);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(size_t offset, size_t bytes) const {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  if (!data_ || offset >= size_) return;
  // Linux maps up to 16 pages around the one that was read, those of neighbours dropped before among them.
  const size_t around = 16 * page;
  const size_t begin = offset / page * page - std::min(offset / page * page, around);
  const size_t end = std::min(size_, offset + bytes + around);
  if (begin < end)
    ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

size_t peak_memory_bytes() {
  struct rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

size_t available_memory_bytes() {
  std::ifstream info("/proc/meminfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("MemAvailable:", 0) == 0) return std::strtoull(line.c_str() + 13, nullptr, 10) * 1024;
  return 0;
}

}  // namespace sumi::base

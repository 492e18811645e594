// tar archives (POSIX ustar, with the long names of GNU and pax), as WebDataset uses them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/memory.h"

namespace sumi::formats {

class TarFile {
 public:
  struct Member {
    std::string name;
    uint64_t offset = 0, size = 0;
  };

  // Maps the file and reads its directory. Regular files only are kept; folders and links are left
  // out. Throws Error naming the file and the offset of what is broken.
  explicit TarFile(const std::string& path);

  const std::string& path() const { return file_->path(); }
  const std::vector<Member>& members() const { return members_; }
  std::span<const std::byte> bytes(const Member& member) const {
    return {file_->data() + member.offset, static_cast<size_t>(member.size)};
  }

 private:
  std::unique_ptr<base::MappedFile> file_;
  std::vector<Member> members_;
};

}  // namespace sumi::formats

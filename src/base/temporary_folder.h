// A folder of its own for files that are needed for a moment.
#pragma once

#include <string>

namespace sumi::base {

class TemporaryFolder {
 public:
  TemporaryFolder();  // throws Error if there can be none
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace sumi::base

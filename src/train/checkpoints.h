// Checkpoints of a run: folders RUN/checkpoint-<step>, each whole or not there at all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace sumi::train {

class Checkpoints {
 public:
  // `folder` is made if it is not there; what an interrupted write or removal left is removed.
  // keep: the last so many stay (at least 1).
  Checkpoints(std::string folder, int64_t keep);

  std::string path(int64_t step) const;
  std::optional<int64_t> latest() const;

  // write(folder) fills a folder under another name, which is synced and then renamed; older
  // checkpoints go afterwards. Throws Error before anything is written if the disk has not
  // `bytes` and some more to spare.
  void save(int64_t step, size_t bytes, const std::function<void(const std::string&)>& write);

 private:
  void remove(const std::string& path) const;

  std::string folder_;
  int64_t keep_;
};

// Throws Error unless the file system of `folder` has `bytes` free.
void check_disk_space(const std::string& folder, size_t bytes);

}  // namespace sumi::train

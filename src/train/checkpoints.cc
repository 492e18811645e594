#include "train/checkpoints.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/error.h"

namespace sumi::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "checkpoint-";
constexpr const char* kWriting = ".writing-";    // not yet a checkpoint
constexpr const char* kRemoving = ".removing-";  // no longer one
constexpr size_t kSpare = size_t{16} << 20;      // bytes

std::optional<int64_t> step_of(const std::string& name) {
  const std::string prefix = kPrefix;
  if (name.rfind(prefix, 0) != 0) return std::nullopt;
  int64_t step = 0;
  const char *begin = name.data() + prefix.size(), *end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(begin, end, step);
  if (error != std::errc() || stop != end || step < 0) return std::nullopt;
  return step;
}

std::vector<int64_t> steps_in(const std::string& folder) {
  std::vector<int64_t> steps;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (const auto step = step_of(entry.path().filename().string())) steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

void sync_folder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("{}: cannot open: {}", folder, std::strerror(errno));
  ::fsync(fd);  // where folders cannot be synced, nothing is lost
  ::close(fd);
}

void rename_folder(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail("{}: cannot rename to {}: {}", from, to, error.message());
}

}  // namespace

void check_disk_space(const std::string& folder, size_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) fail("{}: cannot tell the space on the disk: {}", folder, error.message());
  if (space.available < bytes)
    fail("{}: {} MB are needed on the disk, {} MB are free", folder, (bytes >> 20) + 1,
         space.available >> 20);
}

Checkpoints::Checkpoints(std::string folder, int64_t keep)
    : folder_(std::move(folder)), keep_(std::max<int64_t>(1, keep)) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) fail("{}: cannot make the folder: {}", folder_, error.message());
  std::vector<std::string> leftovers;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(kWriting, 0) == 0 || name.rfind(kRemoving, 0) == 0)
      leftovers.push_back(entry.path().string());
  }
  for (const std::string& leftover : leftovers) fs::remove_all(leftover, error);
}

std::string Checkpoints::path(int64_t step) const {
  return fmt::format("{}/{}{}", folder_, kPrefix, step);
}

std::optional<int64_t> Checkpoints::latest() const {
  const std::vector<int64_t> steps = steps_in(folder_);
  if (steps.empty()) return std::nullopt;
  return steps.back();
}

// Renamed first: a folder half removed must not look like a checkpoint.
void Checkpoints::remove(const std::string& path) const {
  const std::string doomed = fmt::format("{}/{}{}", folder_, kRemoving, ::getpid());
  std::error_code error;
  fs::remove_all(doomed, error);
  rename_folder(path, doomed);
  fs::remove_all(doomed, error);
}

void Checkpoints::save(int64_t step, size_t bytes,
                       const std::function<void(const std::string&)>& write) {
  check_disk_space(folder_, bytes + kSpare);
  const std::string fresh = fmt::format("{}/{}{}", folder_, kWriting, ::getpid());
  std::error_code error;
  fs::remove_all(fresh, error);
  fs::create_directory(fresh, error);
  if (error) fail("{}: cannot make the folder: {}", fresh, error.message());
  write(fresh);
  sync_folder(fresh);
  if (fs::exists(path(step))) remove(path(step));
  rename_folder(fresh, path(step));
  sync_folder(folder_);
  const std::vector<int64_t> steps = steps_in(folder_);
  for (size_t i = 0; i + static_cast<size_t>(keep_) < steps.size(); ++i) remove(path(steps[i]));
}

}  // namespace sumi::train

// Whether files are still those that something was made from.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sumi::train {

class Fingerprint {
 public:
  void add(std::string_view text) {
    add_number(text.size());
    for (const char c : text) byte(static_cast<uint8_t>(c));
  }
  void add_number(uint64_t value) {
    for (int i = 0; i < 64; i += 8) byte(static_cast<uint8_t>(value >> i));
  }
  // Its size, and if wanted the time of its last change. Throws Error if there is no such file.
  void add_file(const std::string& path, bool with_time = true) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) fail("{}: cannot be read", path);
    add_number(static_cast<uint64_t>(status.st_size));
    if (!with_time) return;
    add_number(static_cast<uint64_t>(status.st_mtim.tv_sec) * 1000000000u +
               static_cast<uint64_t>(status.st_mtim.tv_nsec));
  }
  uint64_t value() const { return hash_; }

 private:
  void byte(uint8_t value) { hash_ = (hash_ ^ value) * 0x100000001b3u; }  // FNV-1a

  uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace sumi::train

// What a zip archive holds and where, for archives whose entries lie in the file as they are
// (PyTorch's). Format: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3 (zip64).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sumi::formats {

struct ZipEntry {
  std::string name;
  uint64_t begin = 0, bytes = 0;  // of the data, in the file; within it
  int method = 0;                 // of compression; 0: none, the data lie there as they are
};

bool is_zip(std::string_view file);

// The entries in the directory's order; nothing is expanded. Throws Error naming archive and entry
// on one that is encrypted, beyond the file, overlapping another, or named twice.
std::vector<ZipEntry> read_zip_directory(std::string_view file, const std::string& path);

}  // namespace sumi::formats

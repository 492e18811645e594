#include "formats/tar_file.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"

namespace sumi::formats {

namespace {

constexpr uint64_t kBlock = 512;
constexpr uint64_t kLongestName = 1 << 16;

// A header's field up to its first zero.
std::string_view text_field(std::string_view header, size_t at, size_t size) {
  const std::string_view field = header.substr(at, size);
  return field.substr(0, field.find('\0'));
}

// Octal digits between blanks, or, if the first bit is set, a big-endian number (GNU).
uint64_t number_field(std::string_view header, size_t at, size_t size, const std::string& where,
                      const char* what) {
  std::string_view field = header.substr(at, size);
  uint64_t value = 0;
  if (static_cast<uint8_t>(field[0]) == 0x80) {
    for (size_t i = 1; i < size; ++i) {
      if (value >> 55) fail("{}: {} is too large", where, what);
      value = value << 8 | static_cast<uint8_t>(field[i]);
    }
    return value;
  }
  while (!field.empty() && field[0] == ' ') field.remove_prefix(1);
  size_t digits = 0;
  for (; digits < field.size() && field[digits] >= '0' && field[digits] <= '7'; ++digits)
    value = value << 3 | static_cast<uint64_t>(field[digits] - '0');  // at most 12 digits
  if (digits == 0 || (digits < field.size() && field[digits] != ' ' && field[digits] != '\0'))
    fail("{}: {}: expected octal digits", where, what);
  return value;
}

void check_sum(std::string_view header, const std::string& where) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i)  // the sum's own field counts as blanks
    sum += i >= 148 && i < 156 ? uint64_t{' '} : uint64_t{static_cast<uint8_t>(header[i])};
  const uint64_t stored = number_field(header, 148, 8, where, "checksum");
  if (stored != sum)
    fail("{}: checksum {}, expected {}; this is no tar archive", where, stored, sum);
}

// The "path" among pax records "<length> <key>=<value>\n"; empty if there is none.
std::string pax_path(std::string_view records, const std::string& where) {
  std::string path;
  while (!records.empty()) {
    size_t length = 0, digits = 0;
    for (; digits < records.size() && digits < 9 && records[digits] >= '0' &&
           records[digits] <= '9';
         ++digits)
      length = length * 10 + static_cast<size_t>(records[digits] - '0');
    if (digits == 0 || length <= digits + 1 || length > records.size() ||
        records[digits] != ' ' || records[length - 1] != '\n')
      fail("{}: a broken record of extended attributes", where);
    const std::string_view record = records.substr(digits + 1, length - digits - 2);
    if (record.substr(0, 5) == "path=") path = record.substr(5);
    records.remove_prefix(length);
  }
  return path;
}

}  // namespace

TarFile::TarFile(const std::string& path) : file_(std::make_unique<base::MappedFile>(path)) {
  const std::string_view all(reinterpret_cast<const char*>(file_->data()), file_->size());
  std::string long_name;
  for (uint64_t at = 0; at + kBlock <= all.size();) {
    const std::string where = fmt::format("{}, offset {}", path, at);
    const std::string_view header = all.substr(at, kBlock);
    if (header.find_first_not_of('\0') == std::string_view::npos) break;  // the end's zero blocks
    check_sum(header, where);
    const uint64_t size = number_field(header, 124, 12, where, "size");
    const uint64_t begin = at + kBlock;
    if (size > all.size() - begin)
      fail("{}: a member of {} bytes, but {} are left: the archive is cut off", where, size,
           all.size() - begin);
    at = begin + std::min((size + kBlock - 1) / kBlock * kBlock, all.size() - begin);
    const char type = header[156];
    if (type == 'L' || type == 'x') {
      if (size > kLongestName) fail("{}: a name of {} bytes", where, size);
      const std::string_view content = all.substr(begin, size);
      if (type == 'L') long_name = std::string(content.substr(0, content.find('\0')));
      else if (std::string name = pax_path(content, where); !name.empty()) long_name = name;
      continue;
    }
    std::string name(text_field(header, 0, 100));
    if (header.substr(257, 5) == "ustar" && header[262] == '\0')  // GNU's has a blank, no prefix
      if (const std::string_view prefix = text_field(header, 345, 155); !prefix.empty())
        name = std::string(prefix) + "/" + name;
    if (!long_name.empty()) name = long_name;
    long_name.clear();
    if (type == '0' || type == '\0' || type == '7') members_.push_back({name, begin, size});
  }
  if (members_.empty()) fail("{}: no files in this archive, or it is no tar archive", path);
}

}  // namespace sumi::formats

#include "formats/zip_directory.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "formats/bytes.h"

namespace sumi::formats {

namespace {

constexpr uint32_t kLocalHeader = 0x04034b50, kDirectoryEntry = 0x02014b50, kEnd = 0x06054b50,
                   kZip64End = 0x06064b50, kZip64Locator = 0x07064b50;
constexpr size_t kEndBytes = 22, kLocatorBytes = 20, kLocalBytes = 30, kEntryBytes = 46;
constexpr uint64_t kMaxEntries = 1'000'000;
constexpr size_t kMaxName = 4096;
constexpr uint16_t kZip64Field = 1;
constexpr uint16_t kEncrypted = 1;  // bit 0 of the flags

struct Directory {
  uint64_t entries = 0, bytes = 0, begin = 0;
};

class ZipReader {
 public:
  ZipReader(std::string_view file, const std::string& path) : file_(file), path_(path) {}

  std::vector<ZipEntry> read() {
    const Directory directory = find_directory();
    ByteCursor cursor = at(directory.begin, directory.bytes, "zip directory");
    if (directory.entries > kMaxEntries)
      fail("{}: the zip directory has {} entries, at most {} are allowed", path_, directory.entries,
           kMaxEntries);
    cursor.need_items(directory.entries, kEntryBytes, "zip directory");
    std::vector<ZipEntry> entries;
    entries.reserve(directory.entries);
    for (uint64_t i = 0; i < directory.entries; ++i) entries.push_back(read_entry(cursor));
    check_overlaps(entries);
    return entries;
  }

 private:
  ByteCursor at(uint64_t begin, uint64_t bytes, const char* what) const {
    if (begin > file_.size() || bytes > file_.size() - begin)
      fail("{}: truncated: the {} takes {} bytes at {}, the file has {}", path_, what, bytes, begin,
           file_.size());
    return {reinterpret_cast<const std::byte*>(file_.data()) + begin, static_cast<size_t>(bytes),
            path_};
  }

  // The end record is the last thing in the file but for a comment of at most 65535 bytes.
  size_t find_end() const {
    const std::string_view signature("PK\x05\x06", 4);
    const size_t skipped = file_.size() - std::min(file_.size(), kEndBytes + 65535);
    const std::string_view tail = file_.substr(skipped);
    for (size_t end = tail.size(); end >= kEndBytes;) {
      const size_t found = tail.rfind(signature, end - kEndBytes);
      if (found == std::string_view::npos) break;
      const auto low = static_cast<unsigned char>(tail[found + 20]),
                 high = static_cast<unsigned char>(tail[found + 21]);
      if (found + kEndBytes + low + 256u * high == tail.size()) return skipped + found;
      end = found + kEndBytes - 1;
    }
    fail("{}: truncated: this zip archive has no end record", path_);
  }

  Directory find_directory() const {
    const size_t end = find_end();
    ByteCursor cursor = at(end, kEndBytes, "end record");
    cursor.read<uint32_t>("signature");
    const auto disk = cursor.read<uint16_t>("disk"), first_disk = cursor.read<uint16_t>("disk");
    cursor.read<uint16_t>("entries on this disk");
    Directory directory;
    directory.entries = cursor.read<uint16_t>("entries");
    directory.bytes = cursor.read<uint32_t>("directory size");
    directory.begin = cursor.read<uint32_t>("directory offset");
    if (end >= kLocatorBytes) {
      ByteCursor locator = at(end - kLocatorBytes, kLocatorBytes, "zip64 locator");
      if (locator.read<uint32_t>("signature") == kZip64Locator) {
        locator.read<uint32_t>("disk");
        return read_zip64_end(locator.read<uint64_t>("zip64 end offset"));
      }
    }
    if (disk != 0 || first_disk != 0) fail("{}: a zip archive in parts is not known", path_);
    return directory;
  }

  Directory read_zip64_end(uint64_t begin) const {
    constexpr uint64_t kZip64EndBytes = 56;
    ByteCursor cursor = at(begin, kZip64EndBytes, "zip64 end record");
    if (cursor.read<uint32_t>("signature") != kZip64End)
      fail("{}: no zip64 end record where its locator says", path_);
    cursor.read_bytes(8 + 2 + 2, "size and versions");
    if (cursor.read<uint32_t>("disk") != 0 || cursor.read<uint32_t>("disk") != 0)
      fail("{}: a zip archive in parts is not known", path_);
    cursor.read<uint64_t>("entries on this disk");
    Directory directory;
    directory.entries = cursor.read<uint64_t>("entries");
    directory.bytes = cursor.read<uint64_t>("directory size");
    directory.begin = cursor.read<uint64_t>("directory offset");
    return directory;
  }

  ZipEntry read_entry(ByteCursor& cursor) const {
    if (cursor.read<uint32_t>("entry signature") != kDirectoryEntry)
      fail("{}: an entry of the zip directory lacks its signature", path_);
    cursor.read_bytes(4, "versions");
    const auto flags = cursor.read<uint16_t>("flags"), method = cursor.read<uint16_t>("method");
    cursor.read_bytes(8, "time and checksum");
    uint64_t packed = cursor.read<uint32_t>("compressed size");
    ZipEntry entry;
    entry.bytes = cursor.read<uint32_t>("size");
    const auto name_bytes = cursor.read<uint16_t>("name length");
    const auto extra_bytes = cursor.read<uint16_t>("extra length");
    const auto comment_bytes = cursor.read<uint16_t>("comment length");
    cursor.read_bytes(8, "disk and attributes");
    uint64_t header = cursor.read<uint32_t>("header offset");
    entry.name = cursor.read_bytes(name_bytes, "name");
    const std::string where = fmt::format("{}: zip entry {}", path_, shown(entry.name));
    if (name_bytes > kMaxName) fail("{}: a name of {} bytes is too long", where, name_bytes);
    read_zip64_field(cursor.read_bytes(extra_bytes, "extra fields"), &entry.bytes, &packed,
                     &header);
    cursor.read_bytes(comment_bytes, "comment");
    if ((flags & kEncrypted) != 0) fail("{}: encrypted entries are not read", where);
    entry.method = method;
    if (method != 0) entry.bytes = packed;
    if (packed != entry.bytes)
      fail("{}: stored, but its sizes differ: {} and {} bytes", where, packed, entry.bytes);
    entry.begin = data_begin(header, entry.name, where);
    if (entry.bytes > file_.size() - entry.begin)
      fail("{}: truncated: {} bytes at {}, the file has {}", where, entry.bytes, entry.begin,
           file_.size());
    return entry;
  }

  // Sizes and offset that do not fit 32 bits are in an extra field, in this order, those that are
  // needed.
  void read_zip64_field(std::string_view extra, uint64_t* bytes, uint64_t* packed,
                        uint64_t* header) const {
    ByteCursor cursor(reinterpret_cast<const std::byte*>(extra.data()), extra.size(), path_);
    while (cursor.remaining() >= 4) {
      const auto id = cursor.read<uint16_t>("extra field");
      const std::string_view field =
          cursor.read_bytes(cursor.read<uint16_t>("extra field"), "extra field");
      if (id != kZip64Field) continue;
      ByteCursor values(reinterpret_cast<const std::byte*>(field.data()), field.size(), path_);
      for (uint64_t* value : {bytes, packed, header})
        if (*value == UINT32_MAX) *value = values.read<uint64_t>("zip64 extra field");
    }
  }

  // The local header has the name again, and extra fields of its own.
  uint64_t data_begin(uint64_t header, const std::string& name, const std::string& where) const {
    ByteCursor cursor = at(header, kLocalBytes, "local header");
    if (cursor.read<uint32_t>("signature") != kLocalHeader)
      fail("{}: no local header at {}", where, header);
    cursor.read_bytes(4, "version and flags");
    cursor.read_bytes(2 + 16, "method to sizes");
    const auto name_bytes = cursor.read<uint16_t>("name length");
    const auto extra_bytes = cursor.read<uint16_t>("extra length");
    const uint64_t names = header + kLocalBytes;
    ByteCursor rest = at(names, uint64_t{name_bytes} + extra_bytes, "local header");
    const std::string_view local = rest.read_bytes(name_bytes, "name");
    if (local != name) fail("{}: its local header has the name {}", where, shown(local));
    return names + name_bytes + extra_bytes;
  }

  void check_overlaps(const std::vector<ZipEntry>& entries) const {
    std::unordered_set<std::string_view> names;
    std::vector<const ZipEntry*> order;
    for (const ZipEntry& entry : entries) {
      if (!names.insert(entry.name).second)
        fail("{}: zip entry {} is there twice", path_, shown(entry.name));
      order.push_back(&entry);
    }
    std::sort(order.begin(), order.end(),
              [](const ZipEntry* a, const ZipEntry* b) { return a->begin < b->begin; });
    for (size_t i = 1; i < order.size(); ++i)
      if (order[i]->begin - order[i - 1]->begin < order[i - 1]->bytes)
        fail("{}: zip entry {} overlaps {}", path_, shown(order[i]->name),
             shown(order[i - 1]->name));
  }

  std::string_view file_;
  const std::string& path_;
};

}  // namespace

bool is_zip(std::string_view file) {
  return file.substr(0, 4) == std::string_view("PK\x03\x04", 4);
}

std::vector<ZipEntry> read_zip_directory(std::string_view file, const std::string& path) {
  return ZipReader(file, path).read();
}

}  // namespace sumi::formats

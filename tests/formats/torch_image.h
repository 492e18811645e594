// PyTorch checkpoints put together by hand, so that any part can be wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace sumi::formats {

template <class T>
std::string le(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

struct ZipItem {
  std::string name, data;
  uint16_t method = 0, flags = 0;
  int64_t size = -1;            // as the directory says it; -1: what it is
  int64_t header = -1;          // place of the local header, as the directory says it
  std::string local_name = {};  // empty: name
};

inline std::string zip_image(const std::vector<ZipItem>& items) {
  std::string file, directory;
  for (const ZipItem& item : items) {
    const auto begin = static_cast<uint32_t>(file.size());
    const auto size =
        static_cast<uint32_t>(item.size < 0 ? static_cast<int64_t>(item.data.size()) : item.size);
    const std::string& local = item.local_name.empty() ? item.name : item.local_name;
    const uint32_t expanded = item.method == 0 ? size : 0x7fffffff;
    const std::string middle =
        le(item.flags) + le(item.method) + std::string(8, '\0') + le(size) + le(expanded);
    file += "PK\x03\x04" + le<uint16_t>(20) + middle + le(static_cast<uint16_t>(local.size())) +
            le<uint16_t>(0) + local + item.data;
    directory += "PK\x01\x02" + le<uint32_t>(0) + middle +
                 le(static_cast<uint16_t>(item.name.size())) + std::string(12, '\0') +
                 le(item.header < 0 ? begin : static_cast<uint32_t>(item.header)) + item.name;
  }
  const auto count = static_cast<uint16_t>(items.size());
  return file + directory + "PK\x05\x06" + le<uint32_t>(0) + le(count) + le(count) +
         le(static_cast<uint32_t>(directory.size())) + le(static_cast<uint32_t>(file.size())) +
         le<uint16_t>(0);
}

// Pickle opcodes.
inline std::string text(const std::string& value) {
  return "X" + le(static_cast<uint32_t>(value.size())) + value;
}
inline std::string integer(int64_t value) { return "\x8a\x08" + le(value); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string integers(const std::vector<int64_t>& values) {
  std::string tuple = "(";
  for (const int64_t value : values) tuple += integer(value);
  return tuple + "t";
}
// The storage "0" of a type.
inline std::string storage(int64_t elements, const std::string& type = "FloatStorage",
                           const std::string& key = "0") {
  return "(" + text("storage") + global("torch", type) + text(key) + text("cpu") +
         integer(elements) + "tQ";
}
inline std::string tensor(const std::string& from, int64_t offset, const std::string& size,
                          const std::string& stride) {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + from + integer(offset) + size +
         stride + "\x89NtR";
}
inline std::string good_tensor() {
  return tensor(storage(4), 0, integers({2, 2}), integers({2, 1}));
}
// {"a": value}
inline std::string state(const std::string& value) {
  return "\x80\x02}" + text("a") + value + "s.";
}
inline std::string checkpoint(const std::string& pickle, size_t storage_bytes = 16) {
  return zip_image({{"archive/data.pkl", pickle},
                    {"archive/byteorder", "little"},
                    {"archive/data/0", std::string(storage_bytes, '\2')}});
}
// The older container with this object and storage "0".
inline std::string legacy(const std::string& pickle, int64_t elements = 4, size_t bytes = 16,
                          const std::string& keys = "\x80\x02](" + text("0") + "e.") {
  const std::string magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  return magic + "\x80\x02M\xe9\x03." + "\x80\x02}" + text("little_endian") + "\x88s." + pickle +
         keys + le(elements) + std::string(bytes, '\2');
}

}  // namespace sumi::formats

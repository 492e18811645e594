// A small GGUF file built by hand, with the place of each field known, so that tests can break it
// in one place.
#pragma once

#include <cstring>
#include <map>
#include <string>

namespace sumi::formats {

struct GgufImage {
  std::string bytes;
  std::map<std::string, size_t> at;

  template <class T>
  void put(const std::string& field, T value) {
    at[field] = bytes.size();
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put_text(const std::string& field, const std::string& text) {
    put<uint64_t>(field + ".length", text.size());
    at[field] = bytes.size();
    bytes += text;
  }
  template <class T>
  void patch(const std::string& field, T value) {
    std::memcpy(bytes.data() + at.at(field), &value, sizeof value);
  }
};

// Five keys and three tensors: a f32 [2, 32], b q4_0 [1, 32], c f32 [8]. Ends with the last byte of
// c.
inline GgufImage good_gguf() {
  GgufImage image;
  image.bytes = "GGUF";
  image.put<uint32_t>("version", 3);
  image.put<uint64_t>("tensor_count", 3);
  image.put<uint64_t>("key_count", 5);
  image.put_text("key0", "general.alignment");
  image.put<uint32_t>("key0.type", 4);
  image.put<uint32_t>("alignment", 32);
  image.put_text("key1", "general.a");
  image.put<uint32_t>("key1.type", 8);
  image.put_text("string", "llama");
  image.put_text("key2", "general.b");
  image.put<uint32_t>("key2.type", 9);
  image.put<uint32_t>("strings.type", 8);
  image.put<uint64_t>("strings.count", 2);
  image.put_text("strings.0", "x");
  image.put_text("strings.1", "yz");
  image.put_text("key3", "general.c");
  image.put<uint32_t>("key3.type", 7);
  image.put<uint8_t>("bool", 1);
  image.put_text("key4", "general.d");
  image.put<uint32_t>("key4.type", 9);
  image.put<uint32_t>("numbers.type", 10);
  image.put<uint64_t>("numbers.count", 2);
  image.put<uint64_t>("numbers.0", 5);
  image.put<uint64_t>("numbers.1", 6);
  const auto put_tensor = [&](const std::string& name, uint64_t columns, uint64_t rows,
                              uint32_t type, uint64_t offset) {
    image.put_text(name, name);
    image.put<uint32_t>(name + ".dims", rows > 0 ? 2 : 1);
    image.put<uint64_t>(name + ".columns", columns);
    if (rows > 0) image.put<uint64_t>(name + ".rows", rows);
    image.put<uint32_t>(name + ".type", type);
    image.put<uint64_t>(name + ".offset", offset);
  };
  put_tensor("a", 32, 2, 0, 0);
  put_tensor("b", 32, 1, 2, 256);
  put_tensor("c", 8, 0, 0, 288);
  image.bytes.resize((image.bytes.size() + 31) / 32 * 32);
  image.at["data"] = image.bytes.size();
  image.bytes.resize(image.bytes.size() + 320, '\x01');
  return image;
}

}  // namespace sumi::formats

// JSON from untrusted files: size and depth are limited, and every error names the file and the
// place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sumi::formats {

struct JsonLimits {
  size_t bytes = size_t{256} << 20;
  int depth = 100;           // of nested arrays and objects
  bool unique_keys = false;  // an object that repeats a key is an error; otherwise its last value
                             // counts, as in Python
};

// Throws Error "name: ..., line L, column C: ..." on anything but one JSON value, or on passing a
// limit.
nlohmann::json parse_json(std::string_view text, const std::string& name,
                          const JsonLimits& limits = {});
nlohmann::json read_json_file(const std::string& path, const JsonLimits& limits = {});

// JSON lines: calls body(object, line, "path, line N") for each line that is not blank, lines counted
// from 1. Throws Error, naming the line, unless each is one object. `limits.bytes` is of a line, the file
// may have 4 GiB.
void for_each_json_line(
    const std::string& path, const JsonLimits& limits,
    const std::function<void(const nlohmann::json& object, int64_t line, const std::string& where)>&
        body);

// A whole file as text. Throws Error if it cannot be read or has more than `limit` bytes.
std::string read_text_file(const std::string& path, size_t limit = size_t{256} << 20);

bool file_exists(const std::string& path);  // a regular file, or a link to one

// Typed reads of object[key]; `file` is for the message. A key that is absent or null throws Error
// in the require forms and gives `missing` in the optional forms; another type throws in both.
// Integers may be written as floats with an integral value, as some configurations do.
const nlohmann::json& require_field(const nlohmann::json& object, const std::string& key,
                                    const std::string& file);
const nlohmann::json& require_object(const nlohmann::json& object, const std::string& key,
                                     const std::string& file);
const nlohmann::json& require_array(const nlohmann::json& object, const std::string& key,
                                    const std::string& file);
int64_t require_int(const nlohmann::json& object, const std::string& key, const std::string& file);
double require_float(const nlohmann::json& object, const std::string& key, const std::string& file);
bool require_bool(const nlohmann::json& object, const std::string& key, const std::string& file);
std::string require_string(const nlohmann::json& object, const std::string& key,
                           const std::string& file);
std::vector<int64_t> require_ints(const nlohmann::json& object, const std::string& key,
                                  const std::string& file);
std::vector<double> require_floats(const nlohmann::json& object, const std::string& key,
                                   const std::string& file);
std::vector<std::string> require_strings(const nlohmann::json& object, const std::string& key,
                                         const std::string& file);

bool has_field(const nlohmann::json& object, const std::string& key);  // present and not null
int64_t optional_int(const nlohmann::json& object, const std::string& key, int64_t missing,
                     const std::string& file);
double optional_float(const nlohmann::json& object, const std::string& key, double missing,
                      const std::string& file);
bool optional_bool(const nlohmann::json& object, const std::string& key, bool missing,
                   const std::string& file);
std::string optional_string(const nlohmann::json& object, const std::string& key,
                            const std::string& missing, const std::string& file);

}  // namespace sumi::formats

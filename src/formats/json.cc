#include "formats/json.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "formats/bytes.h"

namespace sumi::formats {

using nlohmann::json;

namespace {

// Builds the value as the parser reports its parts. The stack is a vector, so depth costs no call
// stack; it is limited all the same, because copying or printing a json value recurses.
class Builder : public nlohmann::json_sax<json> {
 public:
  Builder(std::string_view text, const std::string& name, const JsonLimits& limits)
      : text_(text), name_(name), limits_(limits) {}

  json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // not in JSON text
  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& value) override {
    json& object = *stack_.back();
    if (limits_.unique_keys && object.contains(value))
      fail("{}: key {} appears twice", name_, shown(value));
    slot_ = &object[value];
    return true;
  }

  // Never trusts `position` to lie inside the text.
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    const std::string_view before =
        text_.substr(0, std::min(position > 0 ? position - 1 : 0, text_.size()));
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    // The library's text starts with "[json.exception...] parse error at line ...: " and quotes the
    // last token.
    std::string_view reason = error.what();
    const size_t colon = reason.find(": ");
    if (colon != std::string_view::npos) reason.remove_prefix(colon + 2);
    const std::string text = shown(reason);
    fail("{}: invalid JSON, line {}, column {}: {}", name_, line, before.size() - line_start + 1,
         std::string_view(text).substr(1, text.size() - 2));
  }

 private:
  json* place(json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (stack_.back()->is_array()) {
      stack_.back()->push_back(std::move(value));
      return &stack_.back()->back();
    }
    *slot_ = std::move(value);
    return slot_;
  }
  bool add(json value) {
    place(std::move(value));
    return true;
  }
  // Pointers in the stack stay valid: a container grows only while it is the innermost open one.
  bool open(json container) {
    if (stack_.size() >= static_cast<size_t>(limits_.depth))
      fail("{}: arrays and objects nest deeper than {}", name_, limits_.depth);
    stack_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& name_;
  const JsonLimits& limits_;
  json root_;
  std::vector<json*> stack_;
  json* slot_ = nullptr;
};

// "an integer", "a string" ...
std::string kind(const json& value) {
  if (value.is_number_integer()) return "an integer";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  if (value.is_boolean()) return "a bool";
  if (value.is_array()) return "an array";
  return value.is_null() ? "null" : "an object";
}

[[noreturn]] void fail_kind(const std::string& key, const std::string& file, const char* expected,
                            const json& found) {
  fail("{}: {}: expected {}, found {}", file, key, expected, kind(found));
}

int64_t as_int(const json& value, const std::string& key, const std::string& file) {
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(INT64_MAX))
      fail("{}: {}: {} is out of range", file, key, number);
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::abs(number) <= 0x1p53 && number == std::trunc(number))
      return static_cast<int64_t>(number);
    fail("{}: {}: expected an integer, found {}", file, key, number);
  }
  fail_kind(key, file, "an integer", value);
}

double as_float(const json& value, const std::string& key, const std::string& file) {
  if (!value.is_number()) fail_kind(key, file, "a number", value);
  return value.get<double>();
}

std::string as_string(const json& value, const std::string& key, const std::string& file) {
  if (!value.is_string()) fail_kind(key, file, "a string", value);
  return value.get<std::string>();
}

template <class T, class Convert>
std::vector<T> convert_items(const json& object, const std::string& key, const std::string& file,
                             const Convert& convert) {
  std::vector<T> items;
  for (const json& item : require_array(object, key, file))
    items.push_back(convert(item, key, file));
  return items;
}

}  // namespace

json parse_json(std::string_view text, const std::string& name, const JsonLimits& limits) {
  if (text.size() > limits.bytes)
    fail("{}: {} bytes of JSON, at most {} are read", name, text.size(), limits.bytes);
  Builder builder(text, name, limits);
  if (!json::sax_parse(text.begin(), text.end(), &builder)) fail("{}: invalid JSON", name);
  return builder.take();
}

std::string read_text_file(const std::string& path, size_t limit) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) fail("{}: cannot open: {}", path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) fail("{}: not a regular file", path);
  if (static_cast<uint64_t>(info.st_size) > limit)
    fail("{}: {} bytes, at most {} are read", path, info.st_size, limit);
  std::ifstream stream(path, std::ios::binary);
  std::string text(static_cast<size_t>(info.st_size), '\0');
  if (!stream || !stream.read(text.data(), static_cast<std::streamsize>(text.size())))
    fail("{}: cannot read {} bytes", path, text.size());
  return text;
}

json read_json_file(const std::string& path, const JsonLimits& limits) {
  const std::string text = read_text_file(path, limits.bytes);
  if (text.empty() || text[0] == 'v' || text[0] == '<') fail_if_known_stranger(path, text);
  return parse_json(text, path, limits);
}

void for_each_json_line(
    const std::string& path, const JsonLimits& limits,
    const std::function<void(const json& object, int64_t line, const std::string& where)>& body) {
  const std::string text = read_text_file(path, size_t{4} << 30);
  int64_t line = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view content = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++line;
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}, line {}", path, line);
    const json object = parse_json(content, where, limits);
    if (!object.is_object()) fail("{}: expected an object, found {}", where, object.type_name());
    body(object, line, where);
  }
}

bool file_exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool has_field(const json& object, const std::string& key) {
  if (!object.is_object()) return false;
  const auto found = object.find(key);
  return found != object.end() && !found->is_null();
}

const json& require_field(const json& object, const std::string& key, const std::string& file) {
  if (!object.is_object())
    fail("{}: expected an object with {}, found {}", file, key, kind(object));
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) fail("{}: {} is missing", file, key);
  return *found;
}

const json& require_object(const json& object, const std::string& key, const std::string& file) {
  const json& value = require_field(object, key, file);
  if (!value.is_object()) fail_kind(key, file, "an object", value);
  return value;
}

const json& require_array(const json& object, const std::string& key, const std::string& file) {
  const json& value = require_field(object, key, file);
  if (!value.is_array()) fail_kind(key, file, "an array", value);
  return value;
}

int64_t require_int(const json& object, const std::string& key, const std::string& file) {
  return as_int(require_field(object, key, file), key, file);
}

double require_float(const json& object, const std::string& key, const std::string& file) {
  return as_float(require_field(object, key, file), key, file);
}

bool require_bool(const json& object, const std::string& key, const std::string& file) {
  const json& value = require_field(object, key, file);
  if (!value.is_boolean()) fail_kind(key, file, "a bool", value);
  return value.get<bool>();
}

std::string require_string(const json& object, const std::string& key, const std::string& file) {
  return as_string(require_field(object, key, file), key, file);
}

std::vector<int64_t> require_ints(const json& object, const std::string& key,
                                  const std::string& file) {
  return convert_items<int64_t>(object, key, file, as_int);
}

std::vector<double> require_floats(const json& object, const std::string& key,
                                   const std::string& file) {
  return convert_items<double>(object, key, file, as_float);
}

std::vector<std::string> require_strings(const json& object, const std::string& key,
                                         const std::string& file) {
  return convert_items<std::string>(object, key, file, as_string);
}

int64_t optional_int(const json& object, const std::string& key, int64_t missing,
                     const std::string& file) {
  return has_field(object, key) ? require_int(object, key, file) : missing;
}

double optional_float(const json& object, const std::string& key, double missing,
                      const std::string& file) {
  return has_field(object, key) ? require_float(object, key, file) : missing;
}

bool optional_bool(const json& object, const std::string& key, bool missing,
                   const std::string& file) {
  return has_field(object, key) ? require_bool(object, key, file) : missing;
}

std::string optional_string(const json& object, const std::string& key, const std::string& missing,
                            const std::string& file) {
  return has_field(object, key) ? require_string(object, key, file) : missing;
}

}  // namespace sumi::formats

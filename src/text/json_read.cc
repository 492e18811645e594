#include "text/json_read.h"

#include "base/error.h"

namespace sumi::text {
namespace {

constexpr int kMaxDepth = 200;

void check_depth(std::string_view text, const std::string& name) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) fail("{}: JSON nested deeper than {}", name, kMaxDepth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
}

[[noreturn]] void wrong_type(const Json& value, const char* key, const char* expected,
                             const std::string& where) {
  fail("{}: {}: expected {}, found {}", where, key, expected, value.type_name());
}

int64_t to_int(const Json& value, const char* key, const std::string& where) {
  if (!value.is_number_integer()) wrong_type(value, key, "an integer", where);
  if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) {
    fail("{}: {}: {} is too large", where, key, value.get<uint64_t>());
  }
  return value.get<int64_t>();
}

}  // namespace

Json parse_json(std::string_view text, const std::string& name) {
  check_depth(text, name);
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::exception& error) {
    fail("{}: not JSON: {}", name, error.what());
  }
}

const Json* optional_member(const Json& object, const char* key, const std::string& where) {
  if (!object.is_object()) fail("{}: expected an object, found {}", where, object.type_name());
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

const Json& member(const Json& object, const char* key, const std::string& where) {
  const Json* value = optional_member(object, key, where);
  if (!value) fail("{}: {} is missing", where, key);
  return *value;
}

const std::string& string_member(const Json& object, const char* key, const std::string& where) {
  const Json& value = member(object, key, where);
  if (!value.is_string()) wrong_type(value, key, "a string", where);
  return value.get_ref<const std::string&>();
}

int64_t int_member(const Json& object, const char* key, const std::string& where) {
  return to_int(member(object, key, where), key, where);
}

bool bool_member(const Json& object, const char* key, bool missing, const std::string& where) {
  const Json* value = optional_member(object, key, where);
  if (!value) return missing;
  if (!value->is_boolean()) wrong_type(*value, key, "true or false", where);
  return value->get<bool>();
}

std::string string_member(const Json& object, const char* key, const std::string& missing,
                          const std::string& where) {
  return optional_member(object, key, where) ? string_member(object, key, where) : missing;
}

int64_t int_member(const Json& object, const char* key, int64_t missing, const std::string& where) {
  const Json* value = optional_member(object, key, where);
  return value ? to_int(*value, key, where) : missing;
}

}  // namespace sumi::text

// Checked reads of JSON values from untrusted files. `where` names the file and the object in
// messages.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace sumi::text {

using Json = nlohmann::json;

// Throws Error naming `name` on text that is not JSON, or nested deeper than 200.
Json parse_json(std::string_view text, const std::string& name);

// Members that must be there. Throw Error naming the member, what was expected and what was found.
const Json& member(const Json& object, const char* key, const std::string& where);
const std::string& string_member(const Json& object, const char* key, const std::string& where);
int64_t int_member(const Json& object, const char* key, const std::string& where);

// Members that may be missing or null; another type is an Error.
const Json* optional_member(const Json& object, const char* key, const std::string& where);
bool bool_member(const Json& object, const char* key, bool missing, const std::string& where);
std::string string_member(const Json& object, const char* key, const std::string& missing,
                          const std::string& where);
int64_t int_member(const Json& object, const char* key, int64_t missing, const std::string& where);

}  // namespace sumi::text

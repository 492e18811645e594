// What the readers of tokenizer files share: formats/json.h under short names.
#pragma once

#include "formats/json.h"

namespace sumi::text {

using Json = nlohmann::json;
using formats::optional_bool;
using formats::optional_int;
using formats::optional_string;
using formats::require_array;
using formats::require_field;
using formats::require_int;
using formats::require_object;
using formats::require_string;

// Null if the key is absent or null.
inline const Json* find_field(const Json& object, const char* key) {
  return formats::has_field(object, key) ? &object[key] : nullptr;
}

}  // namespace sumi::text

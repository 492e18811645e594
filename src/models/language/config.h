// A config.json: one JSON object and the file it came from, so that every read can name the place.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "formats/json.h"
#include "ops/activation.h"

namespace sumi::models {

// Reads throw Error naming file and key on a missing key or another type (formats/json.h). A null
// is as good as absent, as transformers writes unset fields that way.
class Config {
 public:
  Config(nlohmann::json object, std::string file)
      : object_(std::move(object)), file_(std::move(file)) {
    if (!object_.is_object())
      fail("{}: expected a JSON object, found {}", file_, object_.type_name());
  }
  static Config read(const std::string& path) {
    formats::JsonLimits limits;
    limits.bytes = size_t{16} << 20;
    return Config(formats::read_json_file(path, limits), path);
  }

  const std::string& file() const { return file_; }
  const nlohmann::json& json() const { return object_; }
  bool has(const std::string& key) const { return formats::has_field(object_, key); }
  bool is_null(const std::string& key) const {  // written, as null
    return object_.contains(key) && object_.at(key).is_null();
  }
  int64_t get_int(const std::string& key) const {
    return formats::require_int(object_, key, file_);
  }
  int64_t get_int(const std::string& key, int64_t missing) const {
    return formats::optional_int(object_, key, missing, file_);
  }
  double get_float(const std::string& key) const {
    return formats::require_float(object_, key, file_);
  }
  double get_float(const std::string& key, double missing) const {
    return formats::optional_float(object_, key, missing, file_);
  }
  bool get_bool(const std::string& key, bool missing) const {
    return formats::optional_bool(object_, key, missing, file_);
  }
  std::string get_string(const std::string& key, const std::string& missing) const {
    return formats::optional_string(object_, key, missing, file_);
  }
  std::vector<std::string> get_strings(const std::string& key) const {  // empty if absent
    if (!has(key)) return {};
    return formats::require_strings(object_, key, file_);
  }
  std::vector<float> get_floats(const std::string& key) const {  // empty if absent
    if (!has(key)) return {};
    const std::vector<double> values = formats::require_floats(object_, key, file_);
    return {values.begin(), values.end()};
  }
  std::vector<int64_t> get_ints(const std::string& key) const {  // empty if absent
    if (!has(key)) return {};
    return formats::require_ints(object_, key, file_);
  }
  ops::Activation get_activation(const std::string& key, const std::string& missing) const {
    return ops::activation_from_name(get_string(key, missing), file_ + ": " + key);
  }
  Config get_object(const std::string& key) const {
    return Config(formats::require_object(object_, key, file_), file_ + ": " + key);
  }

 private:
  nlohmann::json object_;
  std::string file_;
};

}  // namespace sumi::models

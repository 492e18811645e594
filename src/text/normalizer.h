// Normalizers of tokenizer.json: text to text, before pre-tokenization.
#pragma once

#include <memory>
#include <string>

#include "text/json_field.h"

namespace sumi::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(std::string* text) const = 0;  // valid UTF-8 in and out
};

// From the value of "normalizer". Throws Error naming an unknown type or a wrong field.
std::unique_ptr<Normalizer> make_normalizer(const Json& config, const std::string& where);

}  // namespace sumi::text

// Pre-tokenizers of tokenizer.json: they cut normalized text into pieces that are encoded one by
// one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/json_field.h"

namespace sumi::text {

struct Piece {
  std::string text;  // valid UTF-8
  bool starts_text =
      false;  // begins where the whole input begins (Metaspace's prepend_scheme "first")
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(std::vector<Piece>* pieces) const = 0;  // leaves no empty piece
};

// From the value of "pre_tokenizer". Throws Error naming an unknown type or a wrong field.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json& config, const std::string& where);

// Cuts at every match of each pattern in turn, matches and what lies between them both staying.
std::unique_ptr<PreTokenizer> make_regex_splits(const std::vector<std::string>& patterns,
                                                const std::string& where);

}  // namespace sumi::text

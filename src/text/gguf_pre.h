// The pre-tokenizers that GGUF files name in tokenizer.ggml.pre.
#pragma once

#include <string>
#include <vector>

namespace sumi::text {

struct GgufPre {
  std::vector<std::string> patterns;  // cut at matches of each in turn
  bool ignore_merges = false;         // a piece that is a token is that token
  bool add_bos = false;               // unless the file says otherwise
};

// Throws Error naming an unknown pre-tokenizer; `where` names the file.
GgufPre gguf_pre_tokenizer(const std::string& name, const std::string& where);

}  // namespace sumi::text

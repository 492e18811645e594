// A Hugging Face folder's tokenizer before it is built: for what writes it in another form.
#pragma once

#include <string>

#include "text/plain_files.h"

namespace sumi::text {

struct TokenizerFolder {
  bool has_json = false;    // tokenizer.json; otherwise the vocabulary's own files
  std::string config_name;  // tokenizer_config.json, for errors
  Json config, tokens;      // its contents; the special tokens by their keys in it
  std::string class_name;   // "LlamaTokenizer"
  PlainFiles files;         // as tokenizer.json would describe it, added tokens included
};

// Throws Error on broken files, and if there is neither tokenizer.json nor a vocabulary of which
// plain_files.h knows (RWKV World's has no description).
TokenizerFolder read_tokenizer_folder(const std::string& folder);

}  // namespace sumi::text

// Tokenizer folders without tokenizer.json: the vocabulary's own files, described as a
// tokenizer.json would describe them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "text/json_field.h"
#include "text/tokenizer_json.h"

namespace sumi::text {

// Has its own class, text/world_tokenizer.h.
inline constexpr const char* kRwkvVocabulary = "rwkv_vocab_v20230424.txt";

struct PlainFiles {
  Json description;  // without what `parts` gives
  TokenizerParts parts;
  std::string name;  // of the vocabulary's file, for errors
  bool prefix_each = true;  // SentencePiece's: text after a special token gets the dummy prefix, too
};

// A special token is a string, or an object with "content".
std::optional<std::string> token_member(const Json& config, const char* key,
                                        const std::string& where);

// The class whose conventions a folder follows ("CLIPTokenizer"): `config` (tokenizer_config.json)
// names it, without "Fast" at its end; else config.json's model_type implies it; else "".
std::string tokenizer_class(const std::string& folder, const Json& config);

// The special tokens that the files leave to the class: {"bos_token": "<s>", ...}.
Json default_tokens(const std::string& folder, const std::string& tokenizer_class);

// The vocabulary's file that read_plain_files would read; "" if there is none.
std::string find_plain_vocabulary(const std::string& folder);

// `tokens` holds the folder's special tokens under the keys of tokenizer_config.json, defaults
// included. Throws Error if the folder has no vocabulary that Sumi reads, or a broken one.
PlainFiles read_plain_files(const std::string& folder, const std::string& tokenizer_class,
                            const Json& config, const Json& tokens);

}  // namespace sumi::text

// A tokenizer.json as GGUF metadata.
#pragma once

#include <string>

#include "formats/gguf_writer.h"
#include "text/tokenizer.h"

namespace sumi::text {

// Writes the tokenizer of a folder with tokenizer.json: vocabulary (filled up to vocab_size with
// unused tokens), kinds, merges or scores, the pre-tokenizer's name, special tokens, chat template.
// True if NFC is lost, for which GGUF has no place: Qwen's vocabularies have it, and no GGUF file of
// theirs. Throws Error if GGUF has no such model or pre-tokenizer.
bool write_gguf_tokenizer(const std::string& folder, const Tokenizer& tokenizer,
                          int64_t vocab_size, formats::GgufWriter* writer);

// Throws Error with the text at fault if the two give different ids for a text with words of many
// languages, numbers, code and white space; without composed letters if `nfc_lost`.
void check_same_tokenizer(const Tokenizer& expected, const Tokenizer& found,
                          const std::string& name, bool nfc_lost = false);

}  // namespace sumi::text

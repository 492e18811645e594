// A folder's tokenizer as GGUF metadata.
#pragma once

#include <string>

#include "formats/gguf_writer.h"
#include "text/tokenizer.h"

namespace sumi::text {

// What a GGUF file does not keep of a tokenizer.
struct GgufTokenizerLoss {
  // NFC, for which the format has no place: Qwen's vocabularies have it, and no GGUF file of theirs.
  bool nfc = false;
  // The bytes of characters that a unigram vocabulary lacks: in the file, and read by Sumi, but
  // llama.cpp makes <unk> of such characters.
  bool bytes = false;
};

// Writes the tokenizer of a folder with tokenizer.json, or of a unigram model with SentencePiece's
// file: vocabulary (filled up to vocab_size with unused tokens), kinds, merges or scores, the
// pre-tokenizer's name, special tokens, chat template. Throws Error if GGUF has no such model or
// pre-tokenizer.
GgufTokenizerLoss write_gguf_tokenizer(const std::string& folder, const Tokenizer& tokenizer,
                                       int64_t vocab_size, formats::GgufWriter* writer);

// Throws Error with the text at fault if the two give different ids for a text with words of many
// languages, numbers, code and white space; without composed letters if `nfc_lost`.
void check_same_tokenizer(const Tokenizer& expected, const Tokenizer& found,
                          const std::string& name, bool nfc_lost = false);

}  // namespace sumi::text

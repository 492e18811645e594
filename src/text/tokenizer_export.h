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
  // The tokens before a text, where they are not one BOS token: in the file, and read by Sumi alone.
  bool prefix = false;
};

// Writes the tokenizer of a folder, from tokenizer.json or the vocabulary's own files (vocab.json and
// merges.txt, SentencePiece's, tiktoken's): vocabulary (filled up to vocab_size with unused tokens),
// kinds, merges or scores, the pre-tokenizer's name, special tokens, chat template. Throws Error if
// GGUF has no such model or pre-tokenizer.
GgufTokenizerLoss write_gguf_tokenizer(const std::string& folder, const Tokenizer& tokenizer,
                                       int64_t vocab_size, formats::GgufWriter* writer);

// Throws Error with the text at fault if the two give different ids for a text with words of many
// languages, numbers, code and white space; without composed letters if `nfc_lost`.
void check_same_tokenizer(const Tokenizer& expected, const Tokenizer& found,
                          const std::string& name, bool nfc_lost = false);

// The first of such texts to which llama.cpp, which does not know Sumi's own keys, gives other ids than
// `expected`; what is put around a text left aside. "" if there is none.
std::string llama_cpp_difference(const Tokenizer& expected, const formats::GgufFile& file);

}  // namespace sumi::text

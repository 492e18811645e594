// The tokenizer of a GGUF file as the files of a Hugging Face folder.
#pragma once

#include <string>

#include "text/tokenizer.h"

namespace sumi::text {

// Writes tokenizer.json (byte-level BPE), tokenizer.model or spiece.model (SentencePiece's BPE and T5's
// unigram model), and tokenizer_config.json, into a folder. Throws Error if the file's tokenizer is of
// another kind.
void write_tokenizer_files(const formats::GgufFile& file, const Tokenizer& tokenizer,
                           const std::string& folder);

}  // namespace sumi::text

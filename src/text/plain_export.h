// Vocabularies that have no tokenizer.json on the way to GGUF: SentencePiece's BPE and tiktoken's ranks.
#pragma once

#include <string>
#include <vector>

#include "formats/gguf_writer.h"
#include "text/bpe.h"
#include "text/tokenizer.h"
#include "text/tokenizer_folder.h"

namespace sumi::text {

// "model" of a tokenizer.json with the ids of a vocabulary of ranks, from read_tiktoken. Every pair of tokens
// that makes a third is a merge, in the order of what they make, as transformers' TikTokenConverter has it.
Json tiktoken_as_bpe(const TokenTable& table);

// The BPE of a SentencePiece file and the folder's added tokens: tokenizer.ggml.model "llama", and the keys of
// text/tokenizer_gguf.h by which Sumi tokenizes as sentencepiece does and not as llama.cpp. `path`: the file.
// Throws Error naming what GGUF has no place for.
void write_gguf_sentencepiece(const TokenizerFolder& folder, const std::string& path,
                              const Tokenizer& tokenizer, int64_t vocab_size,
                              formats::GgufWriter* writer);

}  // namespace sumi::text

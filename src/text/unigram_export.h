// A folder's unigram vocabulary as GGUF metadata: tokenizer.ggml.model "t5"; and what SentencePiece's BPE has alike there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/gguf_writer.h"
#include "text/sentencepiece.h"
#include "text/tokenizer.h"

namespace sumi::text {

// From tokenizer.json, or else from SentencePiece's file and what `tokenizer`, the folder's, adds to
// it; nothing if the vocabulary is of another kind. Throws Error naming what GGUF has no place for.
std::optional<SentencePieceModel> folder_unigram(const std::string& folder,
                                                 const Tokenizer& tokenizer);

// Pieces (filled up to vocab_size with unused ones), scores, types, how text is cleaned. `where`
// names the source. Throws Error if there are more pieces.
void write_gguf_unigram(const SentencePieceModel& model, int64_t vocab_size,
                        const std::string& where, formats::GgufWriter* writer);

// Throws Error if the file at `path` treats spaces in a way that GGUF has no place for.
void check_gguf_spaces(const SentencePieceModel& model, const std::string& path);

// By id.
struct GgufPieces {
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<int32_t> types;
};

// The pieces under tokenizer.ggml.model `kind`, and how `model` cleans text.
void write_gguf_pieces(const char* kind, const GgufPieces& pieces, const SentencePieceModel& model,
                       formats::GgufWriter* writer);

}  // namespace sumi::text

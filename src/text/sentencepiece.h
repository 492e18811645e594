// SentencePiece .model files: a protocol buffer (google/sentencepiece,
// src/sentencepiece_model.proto) with pieces, their scores, and how text is cleaned before it is
// cut.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/pre_tokenizer.h"

namespace sumi::text {

struct SentencePieceModel {
  enum class Kind { unigram = 1, bpe = 2, word = 3, character = 4 };
  enum class Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;  // valid UTF-8, not empty
    float score = 0;
    Type type = Type::normal;
  };
  Kind kind = Kind::unigram;
  std::vector<Piece> pieces;  // by id
  std::string charsmap;       // see text/charsmap.h; empty: text stays as it is
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool whitespace_as_suffix = false;
  bool byte_fallback = false;
  bool double_sums = false;  // of a unigram model's scores; sentencepiece's are float
};

// Whether bytes look like such a file: its first field is a piece.
bool is_sentencepiece(std::string_view bytes);

// Throws Error naming `where` and the byte or the piece that is wrong.
SentencePieceModel read_sentencepiece(std::string_view bytes, const std::string& where);

// The two halves of sentencepiece's Encode: text is cleaned, then cut. A piece with an empty text
// is an id that is not used. Throws Error on what Sumi cannot cut: models of words or characters,
// unused pieces of BPE.
std::unique_ptr<TokenModel> make_sentencepiece_model(const SentencePieceModel& model,
                                                     const std::string& where);
// prefix_each: after a special token, text gets the dummy prefix again.
std::unique_ptr<PreTokenizer> make_sentencepiece_cleaner(const SentencePieceModel& model,
                                                         bool prefix_each,
                                                         const std::string& where);

}  // namespace sumi::text

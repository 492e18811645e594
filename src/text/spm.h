// BPE by scores: of neighbours whose join is a token, the one with the highest score joins first,
// the leftmost of equals. SentencePiece's, with the differences that llama.cpp makes, and
// tiktoken's, where the score is minus the rank.
#pragma once

#include <array>
#include <vector>

#include "text/bpe.h"
#include "text/byte_trie.h"

namespace sumi::text {

struct SpmOptions {
  int32_t unknown = -1;  // for what has no token; -1: an error. llama.cpp gives one for each byte
  bool whole_first = false;  // a piece that is a token is that token (tiktoken)
  // As sentencepiece: only `searchable` tokens are found in text, user-defined ones are found first
  // and stay apart, and a run of unknown characters is one token.
  bool sentencepiece = false;
  bool byte_fallback = true;  // off: only with sentencepiece
  std::vector<bool> searchable;
  ByteTrie user_defined;
};

class Spm : public TokenModel {
 public:
  // scores: one per id.
  Spm(TokenTable table, std::vector<float> scores, SpmOptions options, const std::string& where);

  void encode(std::string_view piece, std::vector<int32_t>* ids) const override;
  const TokenTable& table() const override { return table_; }

 private:
  int32_t find(std::string_view text) const;

  TokenTable table_;
  std::vector<float> scores_;
  SpmOptions options_;
  std::string where_;
  std::array<int32_t, 256> byte_ids_;
};

}  // namespace sumi::text

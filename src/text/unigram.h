// The unigram model: of all ways to cut a text into tokens, the one with the highest sum of scores
// (Kudo 2018, arXiv:1804.10959).
#pragma once

#include <array>
#include <string>
#include <vector>

#include "text/bpe.h"
#include "text/byte_trie.h"

namespace sumi::text {

struct UnigramOptions {
  int32_t unknown = -1;        // for characters that no token covers; -1: they are an error
  bool byte_fallback = false;  // they become their bytes instead, tokens <0x00> … <0xFF>
  // Of sentencepiece, where it differs from Hugging Face tokenizers: only `searchable` tokens are
  // found in text, and user-defined ones beat all others.
  bool sentencepiece = false;
  bool float_sums = false;  // sentencepiece's, too; llama.cpp's are double
  std::vector<bool> searchable, user_defined;  // by id
};

class Unigram : public TokenModel {
 public:
  // scores: by id. `where` names the file in errors. Throws Error on an unknown id that is none.
  Unigram(TokenTable table, std::vector<double> scores, UnigramOptions options,
          const std::string& where);

  void encode(std::string_view piece, std::vector<int32_t>* ids) const override;
  const TokenTable& table() const override { return table_; }

 private:
  void append_unknown(std::string_view text, std::vector<int32_t>* ids) const;

  TokenTable table_;
  std::vector<double> scores_;
  UnigramOptions options_;
  std::string where_;
  ByteTrie trie_;
  double unknown_score_ = 0, highest_score_ = 0;
  std::array<int32_t, 256> byte_ids_;  // of <0x00> …, -1 where missing
};

}  // namespace sumi::text

// WordPiece: from each place in a word the longest token that fits (Devlin et al. 2018,
// arXiv:1810.04805), as Hugging Face tokenizers' model WordPiece.
#pragma once

#include <string>

#include "text/bpe.h"

namespace sumi::text {

struct WordPieceOptions {
  std::string unknown = "[UNK]";         // for words that the vocabulary cannot spell
  std::string continuing_prefix = "##";  // before every token of a word but the first
  size_t longest_word = 100;             // in characters; longer ones are unknown
};

class WordPiece : public TokenModel {
 public:
  // `where` names the file in errors. Throws Error if `unknown` is not in the table.
  WordPiece(TokenTable table, WordPieceOptions options, const std::string& where);

  void encode(std::string_view piece, std::vector<int32_t>* ids) const override;
  const TokenTable& table() const override { return table_; }

 private:
  TokenTable table_;
  WordPieceOptions options_;
  int32_t unknown_;
};

}  // namespace sumi::text

// SentencePiece's BPE as llama.cpp runs it: of neighbours whose join is a token, the one with the
// highest score joins first.
#pragma once

#include <array>
#include <vector>

#include "text/bpe.h"

namespace sumi::text {

class Spm : public TokenModel {
 public:
  // scores: one per id. unknown: for bytes that have no token, -1 to fail on them.
  Spm(TokenTable table, std::vector<float> scores, int32_t unknown, const std::string& where);

  void encode(std::string_view piece, std::vector<int32_t>* ids) const override;
  const TokenTable& table() const override { return table_; }

 private:
  TokenTable table_;
  std::vector<float> scores_;
  int32_t unknown_;
  std::string where_;
  std::array<int32_t, 256> byte_ids_;
};

}  // namespace sumi::text

// Byte-pair encoding of one piece of text (Sennrich et al. 2016, arXiv:1508.07909).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_table.h"

namespace sumi::text {

// Turns a pre-tokenized piece into ids. The next kinds of vocabulary implement this too.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the ids of `piece`, valid UTF-8. Throws Error if the vocabulary cannot spell it.
  virtual void encode(std::string_view piece, std::vector<int32_t>* ids) const = 0;
  virtual const TokenTable& table() const = 0;
};

// Repeats the merge of lowest rank, the leftmost of equals, until none is left: n log n for n
// symbols.
class BpeMerger {
 public:
  // symbols: ids, in place. -1 merges with nothing.
  void run(const MergeTable& merges, std::vector<int32_t>* symbols);

 private:
  struct Candidate {
    int32_t rank, position, id;
  };
  struct Link {
    int32_t previous, next;
  };
  std::vector<Candidate> heap_;
  std::vector<Link> links_;
};

struct BpeOptions {
  std::string unknown;            // token for characters the vocabulary lacks; "" drops them
  std::string continuing_prefix;  // before every character of a piece but the first
  std::string word_suffix;        // after the last character of a piece
  bool fuse_unknown = false;      // a run of unknown characters is one token
  bool byte_fallback = false;     // unknown characters become their bytes, tokens <0x00> … <0xFF>
  bool ignore_merges = false;     // a piece that is a token is that token
};

// As Hugging Face tokenizers' model BPE.
class Bpe : public TokenModel {
 public:
  // `where` names the file in errors. Throws Error if `unknown` is not in the table.
  Bpe(TokenTable table, MergeTable merges, BpeOptions options, const std::string& where);

  void encode(std::string_view piece, std::vector<int32_t>* ids) const override;
  const TokenTable& table() const override { return table_; }

 private:
  void symbols_of(std::string_view piece, std::vector<int32_t>* symbols) const;

  TokenTable table_;
  MergeTable merges_;
  BpeOptions options_;
  int32_t unknown_ = -1;
  std::array<int32_t, 0x800> plain_;   // ids of one- and two-byte characters
  std::array<int32_t, 256> byte_ids_;  // of <0x00> …, -1 where missing
};

}  // namespace sumi::text

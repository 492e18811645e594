// The tokenizer inside a GGUF file, with llama.cpp's semantics (src/llama-vocab.cpp) but for what the file's
// own keys say.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/bpe.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace sumi::text {

// Kinds of token, as tokenizer.ggml.token_type numbers them.
enum class TokenKind : uint8_t {
  undefined = 0,
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

// Keys of files that Sumi wrote, for what the format has no place for. Others ignore them.
// SentencePiece's BPE: text is cleaned and cut as sentencepiece does it, with these two.
inline constexpr const char* kGgufSentencePiece = "sumi.tokenizer.sentencepiece";
inline constexpr const char* kGgufPrefixEach = "sumi.tokenizer.prefix_each";      // plain_files.h
inline constexpr const char* kGgufSearchedIds = "sumi.tokenizer.searched_token_ids";  // found in text whole
// Tokens before a text, where they are not the one BOS token alone (ChatGLM's, GLM-4's).
inline constexpr const char* kGgufPrefixIds = "sumi.tokenizer.prefix_token_ids";

// The bytes of tokenizer.ggml.precompiled_charsmap (text/charsmap.h), empty if the file has none.
std::string read_charsmap(const formats::GgufFile& file);

class GgufTokenizer : public Tokenizer {
 public:
  // as_llama_cpp: without Sumi's own keys.
  explicit GgufTokenizer(const formats::GgufFile& file, bool as_llama_cpp = false);

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override;
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override;
  void decode_next(DecodeState* state, int32_t id, bool skip_special,
                   std::string* text) const override;
  void decode_end(DecodeState*, std::string*) const override {}
  int64_t vocab_size() const override { return table().size(); }
  std::string token_text(int32_t id) const override;
  std::optional<int32_t> find_token(std::string_view text) const override;
  bool is_special(int32_t id) const override;

 private:
  struct Fragment {
    int32_t id;  // -1: text
    size_t begin, end;
  };
  const TokenTable& table() const { return model_->table(); }
  void read_kinds(const formats::GgufFile& file, int64_t tokens);
  // What counts where the file leaves one out; -1: none.
  struct SpecialIds {
    int64_t bos = -1, eos = -1, unknown = -1, padding = -1;
  };
  void read_special_ids(const formats::GgufFile& file, const TokenTable& table,
                        const SpecialIds& missing_ids);
  void find_end_ids(const formats::GgufFile& file);
  void find_partition_tokens(const formats::GgufFile& file);
  std::vector<int32_t> read_ids(const formats::GgufFile& file, const char* name,
                                int64_t tokens) const;
  std::vector<Fragment> partition(std::string_view text, const EncodeOptions& options) const;
  TokenKind kind(int32_t id) const { return kinds_[static_cast<size_t>(id)]; }

  std::string name_;
  std::unique_ptr<TokenModel> model_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;  // null: the whole text is one piece
  std::vector<TokenKind> kinds_;                 // by id
  std::vector<bool> strips_right_;               // by id: takes the white space after it
  std::vector<int32_t> partition_ids_;           // tokens looked for in the text, longest first
  bool byte_symbols_ = false;                    // tokens are spelled in GPT-2's byte alphabet
  bool escape_spaces_ = false;                   // a space is spelled ▁
  bool cleans_ = false;                          // the pre-tokenizer spells it so
  bool add_space_prefix_ = false;
  bool adds_eos_ = false;
  bool sentencepiece_ = false;          // as sentencepiece does it, not as llama.cpp
  std::vector<int32_t> prefix_ids_;     // put first in place of a BOS token
};

}  // namespace sumi::text

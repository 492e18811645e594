// The tokenizer that a tokenizer.json describes.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/json_field.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/text_decoder.h"
#include "text/tokenizer.h"

namespace sumi::text {

// The id of an added token that counts only if the model knows it: files name tokens that their
// vocabulary lacks, mostly for padding.
constexpr int64_t kOfTheModel = INT64_MIN;

// What a description cannot say; null: the description says it.
struct TokenizerParts {
  std::unique_ptr<TokenModel> model;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
};

// "truncation" and "padding" are not applied: they belong to training.
class JsonTokenizer : public Tokenizer {
 public:
  JsonTokenizer(const Json& config, const std::string& name, TokenizerParts parts = {});

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override;
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override;
  void decode_next(DecodeState* state, int32_t id, bool skip_special,
                   std::string* text) const override;
  void decode_end(DecodeState* state, std::string* text) const override;
  int64_t vocab_size() const override;
  std::string token_text(int32_t id) const override;
  std::optional<int32_t> find_token(std::string_view text) const override;
  bool is_special(int32_t id) const override;

  void set_post_processor(PostProcessor processor) { post_processor_ = std::move(processor); }
  // Sets adds_bos; to be called once bos_id is known.
  void find_adds_bos();

 private:
  void read_added_tokens(const Json& config);
  std::string_view text_of(int32_t id) const;  // throws Error if there is none
  void encode_piece_of_text(std::string text, bool starts_text,
                            const EncodeOptions& options, std::vector<int32_t>* ids) const;

  std::string name_;
  std::unique_ptr<TokenModel> model_;
  TokenTable added_;  // added tokens that the model's table lacks, or at ids where they replace its own
  // Added tokens found in normalized text decode to their normalized spelling.
  std::unordered_map<int32_t, std::string> normalized_texts_;
  std::vector<bool> special_;  // by id
  AddedTokenMatcher raw_matcher_, normalized_matcher_;
  std::unique_ptr<Normalizer> normalizer_;       // may be null
  std::unique_ptr<PreTokenizer> pre_tokenizer_;  // may be null
  PostProcessor post_processor_;
  TextDecoder decoder_;
};

}  // namespace sumi::text

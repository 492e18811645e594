// Decoders of tokenizer.json: token texts back to text, one token at a time so that streams can use
// them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/json_field.h"
#include "text/tokenizer.h"

namespace sumi::text {

// Differs from Hugging Face's decoders in one point: bytes that are not UTF-8 are passed on as they
// are, so repair_utf8 of the whole gives their result. (Their ByteFallback replaces every byte of a
// run that is not UTF-8 as a whole; here only its ill-formed parts are lost.)
class TextDecoder {
 public:
  TextDecoder() = default;  // without a decoder, tokens are joined by spaces
  // From the value of "decoder". Throws Error naming an unknown type, a wrong field, or an order of
  // steps that cannot run token by token.
  TextDecoder(const Json& config, const std::string& where);

  // Appends the text of the next token. Fresh states start a text.
  void append(DecodeState* state, std::string_view token, std::string* text) const;
  // Appends what the last token held back, and drops what the end of the text drops.
  void finish(DecodeState* state, std::string* text) const;

 private:
  enum class Kind { byte_level, replace, byte_fallback, metaspace, strip, word_piece, bpe_suffix };
  struct Step {
    Kind kind;
    std::string from, to;        // replace; metaspace: from; word_piece: prefix; bpe_suffix: suffix
    bool flag = false;           // metaspace: drop at the start; word_piece: clean up
    size_t left = 0, right = 0;  // strip
  };
  void add(const Json& config, const std::string& where, int depth);
  void apply(const Step& step, bool first, std::string* token) const;

  bool joined_by_space_ = true;
  bool fused_ = false;  // steps from here on see the whole text: only Strip
  std::vector<Step> steps_;
  std::string strip_content_;  // of Strip after Fuse: one character
  size_t strip_left_ = 0, strip_right_ = 0;
};

}  // namespace sumi::text

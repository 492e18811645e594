// Text of a growing list of ids, piece by piece, for printing while it is generated.
#pragma once

#include <string>

#include "text/tokenizer.h"

namespace sumi::text {

// What push() returns in turn, and then finish(), together are repair_utf8(decode(ids)):
// decode(ids) itself wherever that is valid UTF-8. No return value holds a part of a character.
class StreamDecoder {
 public:
  // The tokenizer must outlive the decoder.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(tokenizer), skip_special_(skip_special) {}

  // The text goes on from some other text: the space before its first word is part of it.
  void continue_text() { state_.first = state_.at_start = false; }

  // The text that this id settles; empty while a character is unfinished. Throws Error on an id
  // outside the vocabulary.
  std::string push(int32_t id);
  // What is still held back; U+FFFD for an unfinished character. The decoder is then as new.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  DecodeState state_;
  std::string pending_;  // bytes of an unfinished character
};

}  // namespace sumi::text

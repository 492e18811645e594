// From rows of text to tokens, with a mark on those to learn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/language/language_model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "train/text_rows.h"

namespace sumi::train {

struct TrainingText {
  std::vector<int32_t> ids;
  std::vector<bool> learned;  // this token is a target when it is predicted from those before
  int64_t targets() const;    // how many that is: a first token is predicted from nothing
};

// Tokens of a row. Of messages, the assistant's turns are learned, and the token that ends each;
// of prompt and completion, the completion and the end of text; of a text, all of it and the end.
// `chat_template` is needed for messages. Throws Error with the row's line if the template refuses
// the messages or does not show where a turn of the assistant stands.
TrainingText tokenize_row(const TextRow& row, const text::Tokenizer& tokenizer,
                          const text::ChatTemplate* chat_template);

// A long text as pieces of at most max_length tokens, each beginning with the last token of the one
// before, so that every token is predicted once. Pieces with nothing to learn are left out.
std::vector<TrainingText> cut(const TrainingText& text, int64_t max_length);

// Which texts go together so that none of the groups has more than max_length tokens: the longest
// first, each into the fullest group that has room. Groups of positions in `texts`.
std::vector<std::vector<int64_t>> pack(const std::vector<TrainingText>& texts, int64_t max_length);

// The texts one after the other in one row; no token sees another text's.
models::TextBatch join(const std::vector<const TrainingText*>& texts);

}  // namespace sumi::train

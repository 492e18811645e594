// Data sets of text: one JSON object a line.
#pragma once

#include <string>
#include <vector>

#include "generate/chat_session.h"

namespace sumi::train {

// A line: {"messages": [{"role", "content"}, ...]}, {"prompt", "completion"} or {"text"}.
struct TextRow {
  enum class Kind { messages, prompt, text };
  Kind kind = Kind::text;
  std::vector<generate::ChatMessage> messages;
  std::string prompt, text;  // text: the completion, or all of it
  int64_t line = 0;          // for messages
};

// Throws Error naming file and line: a line that is no such object, one whose kind is another than
// the first line's, a dialogue without an assistant's turn, an empty file.
std::vector<TextRow> read_text_rows(const std::string& path);

}  // namespace sumi::train

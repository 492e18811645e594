// Lines typed at a terminal: editing, history and pasted text, through libedit.
#pragma once

#include <string>

namespace sumi::cli {

class LineEditor {
 public:
  enum class Outcome { line, interrupted, end };

  // history_file may be empty (no history is kept then) and need not exist; its folder is made when
  // needed.
  explicit LineEditor(std::string history_file);
  ~LineEditor();  // saves the history
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // Reads a line without its end. Several lines pasted at once come as one, with the line ends
  // between them. interrupted: Ctrl-C was pressed (`line` is what had been typed, which is gone);
  // end: Ctrl-D.
  Outcome read(const char* prompt, std::string& line);

 private:
  std::string history_file_;
};

}  // namespace sumi::cli

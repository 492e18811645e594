#include "cli/line_editor.h"

// libedit declares what GNU readline does.
#include <editline/readline.h>
#include <poll.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

namespace sumi::cli {

namespace {

constexpr int kHistoryLines = 1000;

bool ctrl_c_pressed = false;
std::string typed_before_ctrl_c;

int on_ctrl_c(int, int) {
  ctrl_c_pressed = true;
  typed_before_ctrl_c = rl_line_buffer ? rl_line_buffer : "";
  rl_done = 1;
  return 0;
}

// While a line is edited Ctrl-C is a key like others, not a signal. Each readline() sets the terminal anew.
int make_ctrl_c_a_key() {
  rl_parse_and_bind("setty -d -isig");
  return 0;
}

// readline() writes its prompt first and sets the terminal then: what is typed in between must be keys, too.
class KeysAtOnce {
 public:
  KeysAtOnce() : known_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    struct termios keys = before_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ISIG | ICANON | ECHO);
    if (known_) ::tcsetattr(STDIN_FILENO, TCSANOW, &keys);
  }
  ~KeysAtOnce() {
    if (known_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  KeysAtOnce(const KeysAtOnce&) = delete;
  KeysAtOnce& operator=(const KeysAtOnce&) = delete;

 private:
  struct termios before_ {};
  bool known_;
};

// True if more was typed or pasted already. Whole lines are not all that counts: the terminal must
// not wait for a line's end, so it is asked in raw mode.
bool input_waits() {
  struct termios before {};
  if (::tcgetattr(STDIN_FILENO, &before) != 0) return false;
  struct termios raw = before;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_iflag &= ~static_cast<tcflag_t>(ICRNL);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  struct pollfd input {
    STDIN_FILENO, POLLIN, 0
  };
  const bool waits = ::poll(&input, 1, 30) == 1 && (input.revents & POLLIN);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
  return waits;
}

}  // namespace

LineEditor::LineEditor(std::string history_file) : history_file_(std::move(history_file)) {
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1)
    std::setlocale(LC_CTYPE, "C.UTF-8");  // else libedit refuses what is not ASCII
  rl_readline_name = "sumi";
  rl_initialize();
  rl_pre_input_hook = make_ctrl_c_a_key;
  rl_add_defun("sumi-interrupt", on_ctrl_c, '\x03');
  rl_bind_key('\t', rl_insert);
  using_history();
  stifle_history(kHistoryLines);
  if (!history_file_.empty()) read_history(history_file_.c_str());
}

LineEditor::~LineEditor() {
  if (history_file_.empty() || history_length == 0) return;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(history_file_).parent_path(), ignored);
  const mode_t before = ::umask(077);
  write_history(history_file_.c_str());
  ::umask(before);
}

LineEditor::Outcome LineEditor::read(const char* prompt, std::string& line) {
  line.clear();
  const KeysAtOnce keys;
  for (bool first = true;; first = false) {
    ctrl_c_pressed = false;
    const std::unique_ptr<char, void (*)(void*)> typed(::readline(first ? prompt : "... "),
                                                       std::free);
    if (ctrl_c_pressed) {
      std::fputs("\n", stdout);
      std::fflush(stdout);
      line += typed_before_ctrl_c;
      return Outcome::interrupted;
    }
    if (!typed) return first ? Outcome::end : Outcome::line;
    if (!first) line += '\n';
    line += typed.get();
    if (!input_waits()) break;
  }
  if (!line.empty()) add_history(line.c_str());
  return Outcome::line;
}

}  // namespace sumi::cli

// `sumi chat` at a pseudo-terminal.

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>

#include <chrono>

#include "cli/command.h"

namespace sumi::cli {
namespace {

class Terminal {
 public:
  Terminal(const std::string& model, const std::string& state) {
    child_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (child_ == 0) {
      ::setenv("XDG_STATE_HOME", state.c_str(), 1);
      ::setenv("TERM", "xterm", 1);
      ::execl(SUMI_BINARY, "sumi", "chat", model.c_str(), "--temperature", "0", "--max-tokens", "5",
              nullptr);
      ::_exit(127);
    }
  }
  ~Terminal() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(terminal_);
  }

  void type(const std::string& text) {
    ASSERT_EQ(::write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // Waits until the text comes after what was seen before; false after 30 seconds or at the end.
  bool see(const std::string& text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < end) {
      const size_t at = output_.find(text, seen_);
      if (at != std::string::npos) {
        seen_ = at + text.size();
        return true;
      }
      if (!more()) return false;
    }
    return false;
  }
  int exit_code() {
    while (more()) {
    }
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  const std::string& output() const { return output_; }

 private:
  bool more() {
    struct pollfd input = {terminal_, POLLIN, 0};
    if (::poll(&input, 1, 30000) != 1) return false;
    char buffer[4096];
    const ssize_t count = ::read(terminal_, buffer, sizeof buffer);
    if (count <= 0) return false;
    output_.append(buffer, static_cast<size_t>(count));
    return true;
  }

  int terminal_ = -1;
  pid_t child_ = -1;
  std::string output_;
  size_t seen_ = 0;
};

TEST(Terminal, CtrlCIsNotTheEndAndCtrlDIs) {
  const ModelFolder model;
  const Folder state;
  Terminal terminal(model.path(), state.path());
  ASSERT_TRUE(terminal.see("> ")) << terminal.output();
  terminal.type("\x03");
  ASSERT_TRUE(terminal.see("Ctrl-D or /quit")) << terminal.output();
  ASSERT_TRUE(terminal.see("> "));
  terminal.type("/set top-k 7\r");
  ASSERT_TRUE(terminal.see("top-k 7\r\n")) << terminal.output();
  ASSERT_TRUE(terminal.see("> "));
  terminal.type("/nonsense\r");
  ASSERT_TRUE(terminal.see("no command /nonsense")) << terminal.output();
  ASSERT_TRUE(terminal.see("> "));
  terminal.type("\x04");
  EXPECT_EQ(terminal.exit_code(), 0);
  EXPECT_NE(slurp(state / "sumi/chat_history").find("top-k"), std::string::npos);
}

TEST(Terminal, PastedLinesAreOneMessage) {
  const ModelFolder model;
  const Folder state;
  Terminal terminal(model.path(), state.path());
  ASSERT_TRUE(terminal.see("> "));
  terminal.type("one\rtwo\rthree\r");
  ASSERT_TRUE(terminal.see("> ")) << terminal.output();  // after the answer
  terminal.type("/save " + (state / "saved") + "\r");
  ASSERT_TRUE(terminal.see("Saved to")) << terminal.output();
  terminal.type("/quit\r");
  EXPECT_EQ(terminal.exit_code(), 0);
  const nlohmann::json saved = nlohmann::json::parse(slurp(state / "saved"));
  ASSERT_EQ(saved["messages"].size(), 2u);
  EXPECT_EQ(saved["messages"][0]["content"], "one\ntwo\nthree");
}

}  // namespace
}  // namespace sumi::cli

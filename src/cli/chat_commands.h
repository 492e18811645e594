// The /commands of `sumi chat`.
#pragma once

#include <string>

#include "cli/common.h"
#include "generate/chat_session.h"

namespace sumi::cli {

struct ChatState {
  generate::ChatSession& session;
  generate::GenerateOptions options;
  bool random_seed = true;  // a new one for each answer
  int64_t vocab_size = 0;
};

enum class CommandResult {
  message,  // no command: the line is for the model
  done,
  quit,
};

// Carries out a line that begins with a command's name. Other lines that begin with "/" are
// messages unless `strict`, where they are errors. Notes go to `note`. Throws Error on a wrong
// command; the state is then unchanged.
CommandResult run_command(const std::string& line, bool strict, ChatState& state,
                          const std::function<void(const std::string&)>& note);

}  // namespace sumi::cli

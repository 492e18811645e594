// Presets: a system text and a few example turns that make an assistant of a model, even of a base
// model that was never taught to chat.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sumi::generate {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// Who speaks, in a dialogue as plain text.
struct DialogueMarkers {
  std::string user = "Human:", assistant = "Assistant:";
};

struct Preset {
  std::string name, about, language;
  DialogueMarkers markers;
  std::string system;
  std::vector<ChatMessage> examples;  // a user's and an assistant's turn by turns
};

// A preset's file: lines "about:", "language:", "user:" and "assistant:" (the markers), then
// sections that begin with a line [system], [user] or [assistant]; system comes first, the others
// in pairs. Blank lines around a section's text do not count. Throws Error naming the file and what
// is wrong.
Preset parse_preset(std::string_view text, const std::string& name);

// The presets of share/sumi/presets, which are part of the program, by name.
const std::vector<Preset>& presets();

// One of them by name, or a file if `name` has a slash or ends with .txt. Throws Error that lists
// the names.
Preset open_preset(const std::string& name);

}  // namespace sumi::generate

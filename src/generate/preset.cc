#include "generate/preset.h"

#include <algorithm>

#include "base/error.h"
#include "formats/json.h"
#include "generate/preset_files.h"

namespace sumi::generate {

namespace {

std::string trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t\r\n"), to = text.find_last_not_of(" \t\r\n");
  return from == std::string_view::npos ? std::string()
                                        : std::string(text.substr(from, to - from + 1));
}

std::string_view next_line(std::string_view* rest) {
  const size_t end = rest->find('\n');
  std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

std::string section_role(std::string_view line) {
  for (const char* role : {"system", "user", "assistant"})
    if (line == "[" + std::string(role) + "]") return role;
  return "";
}

void read_field(std::string_view line, Preset& preset) {
  const size_t colon = line.find(':');
  const std::string key(line.substr(0, colon));
  const std::string value =
      colon == std::string_view::npos ? "" : trimmed(line.substr(colon + 1));
  std::string* field = key == "about"       ? &preset.about
                       : key == "language"  ? &preset.language
                       : key == "user"      ? &preset.markers.user
                       : key == "assistant" ? &preset.markers.assistant
                                            : nullptr;
  if (!field)
    fail("preset {}: expected about:, language:, user:, assistant: or [system], found \"{}\"",
         preset.name, line);
  if (value.empty()) fail("preset {}: {}: is empty", preset.name, key);
  *field = value;
}

}  // namespace

Preset parse_preset(std::string_view text, const std::string& name) {
  Preset preset;
  preset.name = name;
  std::vector<ChatMessage> sections;
  while (!text.empty()) {
    const std::string_view line = next_line(&text);
    const std::string role = section_role(line);
    if (!role.empty()) {
      sections.push_back({role, ""});
    } else if (!sections.empty()) {
      sections.back().content.append(line).append("\n");
    } else if (!trimmed(line).empty()) {
      read_field(line, preset);
    }
  }
  if (sections.empty() || sections[0].role != "system")
    fail("preset {}: expected the section [system] first", name);
  for (size_t i = 0; i < sections.size(); ++i) {
    const char* expected = i == 0 ? "system" : i % 2 == 1 ? "user" : "assistant";
    if (sections[i].role != expected)
      fail("preset {}: section {}: expected [{}], found [{}]", name, i + 1, expected,
           sections[i].role);
    sections[i].content = trimmed(sections[i].content);
    if (sections[i].content.empty())
      fail("preset {}: section {}: [{}] is empty", name, i + 1, expected);
  }
  if (sections.size() % 2 == 0) fail("preset {}: the last [user] has no [assistant]", name);
  preset.system = sections[0].content;
  preset.examples.assign(sections.begin() + 1, sections.end());
  return preset;
}

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = [] {
    std::vector<Preset> list;
    for (const PresetFile& file : kPresetFiles) list.push_back(parse_preset(file.text, file.name));
    std::sort(list.begin(), list.end(),
              [](const Preset& a, const Preset& b) { return a.name < b.name; });
    return list;
  }();
  return all;
}

Preset open_preset(const std::string& name) {
  const bool is_path = name.find('/') != std::string::npos ||
                       (name.size() > 4 && name.compare(name.size() - 4, 4, ".txt") == 0);
  if (is_path) return parse_preset(formats::read_text_file(name), name);
  std::string names;
  for (const Preset& preset : presets()) {
    if (preset.name == name) return preset;
    names += (names.empty() ? "" : ", ") + preset.name;
  }
  fail("preset {}: not known; there are {}, or name a file (./{}.txt)", name, names, name);
}

}  // namespace sumi::generate

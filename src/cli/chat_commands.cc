#include "cli/chat_commands.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/json.h"
#include "text/sampler.h"

namespace sumi::cli {

namespace {

constexpr const char* kHelp =
    "/help              this list\n"
    "/reset             forget the conversation, keep the system text\n"
    "/system [TEXT]     set the system text; without TEXT show it; /system - removes it\n"
    "/preset [NAME]     take a preset's system text and examples; without NAME list them\n"
    "/save FILE         write the conversation to a file, as JSON\n"
    "/load FILE         read a conversation from a file\n"
    "/set [NAME VALUE]  change a setting; without NAME list them\n"
    "/quit              leave (also Ctrl-D)\n"
    "Ctrl-C stops an answer.";

// A setting by name: how to read and how to change it.
struct Setting {
  const char* name;
  double text::SamplerOptions::*real;  // one of the three
  int64_t text::SamplerOptions::*integer;
  bool is_seed, is_max_tokens;
};

constexpr Setting kSettings[] = {
    {"temperature", &text::SamplerOptions::temperature, nullptr, false, false},
    {"top-k", nullptr, &text::SamplerOptions::top_k, false, false},
    {"top-p", &text::SamplerOptions::top_p, nullptr, false, false},
    {"min-p", &text::SamplerOptions::min_p, nullptr, false, false},
    {"typical-p", &text::SamplerOptions::typical_p, nullptr, false, false},
    {"repetition-penalty", &text::SamplerOptions::repetition_penalty, nullptr, false, false},
    {"frequency-penalty", &text::SamplerOptions::frequency_penalty, nullptr, false, false},
    {"presence-penalty", &text::SamplerOptions::presence_penalty, nullptr, false, false},
    {"max-tokens", nullptr, nullptr, false, true},
    {"seed", nullptr, nullptr, true, false},
};

std::string value_text(const Setting& setting, const ChatState& state) {
  if (setting.real) return fmt::format("{}", state.options.sampling.*setting.real);
  if (setting.integer) return fmt::format("{}", state.options.sampling.*setting.integer);
  if (setting.is_max_tokens) return fmt::format("{}", state.options.max_tokens);
  return state.random_seed ? "random" : fmt::format("{}", state.options.sampling.seed);
}

template <class Number>
Number whole_number(const std::string& text, const char* name) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < Number{0})
    fail("/set {}: expected a whole number of 0 or more, found '{}'", name, text);
  return number;
}

double real_number(const std::string& text, const char* name) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(number))
    fail("/set {}: expected a number, found '{}'", name, text);
  return number;
}

void change_setting(const Setting& setting, const std::string& value, ChatState& state) {
  text::SamplerOptions sampling = state.options.sampling;
  int64_t max_tokens = state.options.max_tokens;
  bool random_seed = state.random_seed;
  if (setting.real) sampling.*setting.real = real_number(value, setting.name);
  if (setting.integer) sampling.*setting.integer = whole_number<int64_t>(value, setting.name);
  if (setting.is_max_tokens) max_tokens = whole_number<int64_t>(value, setting.name);
  if (setting.is_seed) {
    random_seed = value == "random";
    if (!random_seed) sampling.seed = whole_number<uint64_t>(value, setting.name);
  }
  text::check_sampler_options(sampling, state.vocab_size);
  state.options.sampling = sampling;
  state.options.max_tokens = max_tokens;
  state.random_seed = random_seed;
}

std::string trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t\r\n"), to = text.find_last_not_of(" \t\r\n");
  return from == std::string_view::npos ? std::string()
                                        : std::string(text.substr(from, to - from + 1));
}

std::string setting_names() {
  std::string names;
  for (const Setting& setting : kSettings)
    names += (names.empty() ? "" : ", ") + std::string(setting.name);
  return names;
}

void run_set(const std::string& rest, ChatState& state,
             const std::function<void(const std::string&)>& note) {
  if (rest.empty()) {
    std::string list;
    for (const Setting& setting : kSettings)
      list += fmt::format("{}{:<19}{}", list.empty() ? "" : "\n", setting.name,
                          value_text(setting, state));
    note(list + "\nmax-tokens 0: no limit but the context");
    return;
  }
  const size_t space = rest.find_first_of(" \t=");
  const std::string name = rest.substr(0, space);
  const std::string value = space == std::string::npos ? "" : trimmed(rest.substr(space + 1));
  for (const Setting& setting : kSettings) {
    if (name != setting.name) continue;
    if (!value.empty()) change_setting(setting, value, state);
    note(fmt::format("{} {}", setting.name, value_text(setting, state)));
    return;
  }
  fail("/set: no setting '{}'; there are {}", name, setting_names());
}

void save(const std::string& path, const ChatState& state) {
  if (path.empty()) fail("/save: which file?");
  const auto replace = nlohmann::json::error_handler_t::replace;
  formats::write_text_file(path, state.session.to_json().dump(2, ' ', false, replace) + "\n");
}

void load(const std::string& path, ChatState& state) {
  if (path.empty()) fail("/load: which file?");
  const nlohmann::json conversation = formats::read_json_file(path, {.bytes = size_t{64} << 20});
  state.session.load(nlohmann::ordered_json(conversation));
}

}  // namespace

CommandResult run_command(const std::string& line, bool strict, ChatState& state,
                          const std::function<void(const std::string&)>& note) {
  if (line.empty() || line[0] != '/') return CommandResult::message;
  const size_t space = line.find_first_of(" \t\n");
  const std::string command = line.substr(0, space);
  const std::string rest = space == std::string::npos ? "" : trimmed(line.substr(space + 1));
  if (command == "/help") {
    note(kHelp);
  } else if (command == "/quit" || command == "/exit") {
    return CommandResult::quit;
  } else if (command == "/reset") {
    state.session.reset();
    note("The conversation is forgotten.");
  } else if (command == "/system") {
    if (!rest.empty()) state.session.set_system(rest == "-" ? "" : rest);
    const std::string system = state.session.system();
    note(system.empty() ? "No system text." : "System: " + system);
  } else if (command == "/preset") {
    if (rest.empty()) {
      std::string list;
      for (const generate::Preset& preset : generate::presets())
        list += fmt::format("{}{:<16} {}", list.empty() ? "" : "\n", preset.name, preset.about);
      note(list);
    } else {
      const generate::Preset preset = generate::open_preset(rest);
      state.session.use(preset);
      note("Preset: " + preset.about);
    }
  } else if (command == "/save") {
    save(rest, state);
    note("Saved to " + rest + ".");
  } else if (command == "/load") {
    load(rest, state);
    note(fmt::format("Loaded {} messages.", state.session.messages().size()));
  } else if (command == "/set") {
    run_set(rest, state, note);
  } else if (strict) {
    fail("no command {}; /help lists them", command);
  } else {
    return CommandResult::message;
  }
  return CommandResult::done;
}

}  // namespace sumi::cli

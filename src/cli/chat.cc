// sumi chat: a conversation at the terminal, or with a script.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "base/error.h"
#include "base/progress.h"
#include "cli/chat_commands.h"
#include "cli/common.h"
#include "cli/line_editor.h"
#include "cli/verbs.h"
#include "generate/chat_session.h"

namespace sumi::cli {

namespace {

constexpr const char* kDefaultModel = "SmolLM2-135M-Instruct";
constexpr int64_t kDefaultMaxTokens = 1024;

struct Flags {
  std::string model = kDefaultModel, prompt, system, system_file, preset;
  bool list_presets = false;
  int64_t max_tokens = kDefaultMaxTokens;
  SamplingFlags sampling;
  ComputeFlags compute;
};

void note(const std::string& text) {
  std::fprintf(stderr, "%s\n", text.c_str());
  std::fflush(stderr);
}

std::string history_path() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state && *state) return std::string(state) + "/sumi/chat_history";
  const char* home = std::getenv("HOME");
  return home && *home ? std::string(home) + "/.local/state/sumi/chat_history" : std::string();
}

// Prints the answer as it comes. Throws what ChatSession::ask() does.
void answer(const std::string& question, ChatState& state) {
  if (state.random_seed) state.options.sampling.seed = random_seed();
  auto progress = std::make_unique<base::Progress>("reading");
  state.options.prefill_progress = [&](double fraction) { progress->update(fraction); };
  bool line_open = false;
  const generate::GenerateResult result = state.session.ask(
      question, state.options,
      [&](const generate::StreamPiece& piece) {
        progress.reset();
        if (piece.text.empty()) return true;
        line_open = piece.text.back() != '\n';
        write_out(piece.text);
        flush_out();
        return true;
      },
      [](int64_t pairs) {
        note(fmt::format("(the context is full: the {} forgotten)",
                         pairs == 1 ? "oldest question and answer are"
                                    : fmt::format("{} oldest questions and answers are", pairs)));
      });
  progress.reset();
  if (line_open || result.text.empty()) write_out("\n");
  flush_out();
  if (result.finish_reason == "cancelled") note("(stopped)");
  if (result.finish_reason == "length") {
    const bool limit = static_cast<int64_t>(result.ids.size()) == state.options.max_tokens;
    note(limit ? fmt::format("(cut after {} tokens: /set max-tokens N, or --max-tokens)",
                             result.ids.size())
               : "(cut: the context is full)");
  }
}

// A wrong question or command does not end the conversation. False: quit.
bool take_line(const std::string& line, bool interactive, ChatState& state) {
  try {
    switch (run_command(line, interactive, state, note)) {
      case CommandResult::quit:
        return false;
      case CommandResult::done:
        return true;
      case CommandResult::message:
        answer(line, state);
    }
  } catch (const Error& error) {
    if (!interactive) throw;
    note(std::string("error: ") + error.what());
  }
  return true;
}

void converse(ChatState& state) {
  LineEditor editor(history_path());
  for (std::string line;;) {
    const LineEditor::Outcome outcome = editor.read("> ", line);
    if (outcome == LineEditor::Outcome::end) break;
    if (outcome == LineEditor::Outcome::interrupted) {
      if (line.empty()) note("(Ctrl-D or /quit to leave)");
      continue;
    }
    if (line.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    catch_interrupts();
    state.options.cancel = &interrupted();
    const bool go_on = take_line(line, true, state);
    release_interrupts();
    if (!go_on) return;
  }
  write_out("\n");
}

void answer_lines(ChatState& state) {
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    if (!take_line(line, false, state)) return;
  }
}

OpenedModel open_chat_model(const Flags& flags, bool named) {
  if (named) return open_model(flags.model, flags.compute);
  try {
    models::resolve_model(flags.model);
  } catch (const Error& error) {
    fail("{}\nThe default model is not here: run ./quickstart, which fetches it, or name a model.",
         error.what());
  }
  return open_model(flags.model, flags.compute);
}

int list_presets() {
  for (const generate::Preset& preset : generate::presets())
    write_out(fmt::format("{:<16} {}  {}\n", preset.name, preset.language, preset.about));
  return 0;
}

int run_chat(const Flags& flags, bool named, bool once) {
  if (flags.list_presets) return list_presets();
  if (once && flags.prompt.empty()) throw CLI::ValidationError("--prompt", "the question is empty");
  // What can be wrong is found before the weights are loaded.
  std::optional<generate::Preset> preset;
  if (!flags.preset.empty()) preset = generate::open_preset(flags.preset);
  const std::string system =
      flags.system_file.empty() ? flags.system : read_text_file(flags.system_file);
  const OpenedModel opened = open_chat_model(flags, named);
  if (!opened.files.tokenizer) fail("{}: the model has no tokenizer", opened.files.path);
  generate::ChatSession session(*opened.files.model, *opened.files.tokenizer, opened.files.path);
  ChatState state{session, {}, !flags.sampling.seed, opened.files.model->vocab_size()};
  state.options.sampling = sampler_options(flags.sampling, opened.files.defaults);
  state.options.max_tokens = flags.max_tokens;
  text::check_sampler_options(state.options.sampling, state.vocab_size);
  if (preset) session.use(*preset);
  if (!system.empty()) session.set_system(system);
  session.check_ready();
  if (once) {
    answer(flags.prompt, state);
    return 0;
  }
  const bool interactive = ::isatty(STDIN_FILENO) && ::isatty(STDOUT_FILENO);
  if (!interactive) {
    answer_lines(state);
    return 0;
  }
  note(fmt::format("{}\n/help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves.",
                   opened.files.path));
  converse(state);
  return 0;
}

}  // namespace

void add_chat(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("chat", "Talk with a model");
  CLI::Option* model = verb->add_option("MODEL", flags->model, "Model: a file, a folder or a name")
                           ->capture_default_str();
  CLI::Option* prompt =
      verb->add_option("--prompt", flags->prompt, "Answer this one question and exit")
          ->type_name("TEXT");
  CLI::Option* system =
      verb->add_option("--system", flags->system, "System text: how the model should behave")
          ->type_name("TEXT");
  verb->add_option("--system-file", flags->system_file,
                   "Read the system text from this file (-: standard input)")
      ->excludes(system)
      ->type_name("FILE");
  verb->add_option("--preset", flags->preset,
                   "A ready system text with examples; makes an assistant of a base model, too. A "
                   "name, or a file of your own (./mine.txt)")
      ->type_name("NAME");
  verb->add_flag("--list-presets", flags->list_presets, "List the presets and exit");
  verb->add_option("--max-tokens", flags->max_tokens,
                   "Cut an answer after this many tokens (0: never)")
      ->check(at_least<int64_t>(0))
      ->capture_default_str()
      ->type_name("N");
  add_sampling_flags(*verb, flags->sampling);
  add_adapter_flag(*verb, flags->compute);
  add_dtype_flag(*verb, flags->compute);
  add_tokenizer_flag(*verb, flags->compute);
  add_threads_flag(*verb, flags->compute);
  verb->footer(
      "At a terminal: arrow keys edit and recall lines, Ctrl-C stops an answer, Ctrl-D leaves; "
      "/help lists the\n"
      "commands (/reset /system /preset /save /load /set /quit). When the input is not a terminal, "
      "each line is a\n"
      "message (or one of these commands) and only the answers are printed. When the context is "
      "full, the\n"
      "oldest questions and answers are forgotten.\n\n"
      "Examples:\n"
      "  sumi chat\n"
      "  sumi chat model.gguf --system \"You are a pirate.\"\n"
      "  sumi chat --prompt \"What is the capital of France?\"\n"
      "  sumi chat starcoder --preset tech-assistant\n"
      "  printf 'Hello\\nWho are you?\\n' | sumi chat");
  verb->callback([=, &run] {
    run = [=] { return run_chat(*flags, model->count() > 0, prompt->count() > 0); };
  });
}

}  // namespace sumi::cli

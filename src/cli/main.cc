// sumi: the command line.

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string_view>

#include "base/cpu.h"
#include "base/error.h"
#include "base/threads.h"
#include "cli/common.h"
#include "cli/short_waits.h"
#include "cli/verbs.h"

namespace {

std::string version_text() {
  return fmt::format("sumi {}\ninstructions: {}\nprocessor: {}\nthreads: {}", SUMI_VERSION,
                     sumi::base::isa_name(sumi::base::active_isa()), sumi::base::cpu_model_name(),
                     sumi::base::num_threads());
}

int error_exit(const char* message) {
  std::fprintf(stderr, "sumi: error: %s\n", message);
  return 1;
}

struct Verb {
  const char* name;
  void (*add)(CLI::App& app, sumi::cli::Run& verb);
};
constexpr Verb kVerbs[] = {
    {"chat", sumi::cli::add_chat},           {"generate", sumi::cli::add_generate},
    {"complete", sumi::cli::add_complete},   {"tokenize", sumi::cli::add_tokenize},
    {"inspect", sumi::cli::add_inspect},     {"perplexity", sumi::cli::add_perplexity},
    {"embed", sumi::cli::add_embed},         {"image", sumi::cli::add_image},
    {"convert", sumi::cli::add_convert},     {"condition", sumi::cli::add_condition},
    {"train", sumi::cli::add_train},         {"merge", sumi::cli::add_merge},
    {"data", sumi::cli::add_data},           {"plot", sumi::cli::add_plot},
    {"bench", sumi::cli::add_bench},
};

// The verb that is asked for, or all of them: their options together take half a megabyte.
void add_verbs(CLI::App& app, sumi::cli::Run& run, std::string_view asked) {
  for (const Verb& verb : kVerbs)
    if (verb.name == asked) return verb.add(app, run);
  for (const Verb& verb : kVerbs) verb.add(app, run);
}

int run(int argc, char** argv) {
  CLI::App app("Sumi runs language models on ordinary processors.", "sumi");
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text,
                       "Print version, instruction set, processor and threads");
  app.footer(
      "MODEL is a GGUF file, a Hugging Face folder, a name in the models cache, or org/name in "
      "the\n"
      "Hugging Face cache. `sumi VERB --help` tells more.\n"
      "Exit codes: 0 done, 1 it failed, 2 wrong usage, 130 stopped by Ctrl-C.\n\n"
      "Examples:\n"
      "  sumi chat\n"
      "  sumi generate model.gguf --prompt \"Once upon a time\" --max-tokens 64\n"
      "  sumi inspect model.gguf");
  sumi::cli::Run verb;
  add_verbs(app, verb, argc > 1 ? argv[1] : "");
  try {
    const auto is_verb = [&](const CLI::App* verb) { return verb->get_name() == argv[1]; };
    if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(is_verb).empty())
      throw CLI::ValidationError(argv[1], "no such verb");
    app.parse(argc, argv);
    const int code = verb();
    sumi::cli::flush_out();
    return code;
  } catch (const CLI::Success& done) {  // --help or --version
    app.exit(done);
    sumi::cli::flush_out();
    return 0;
  } catch (const CLI::ParseError& error) {
    std::string command = "sumi";
    for (const CLI::App* chosen : app.get_subcommands()) command += " " + chosen->get_name();
    std::fprintf(stderr, "sumi: error: %s\nTry `%s --help`.\n", error.what(), command.c_str());
    return 2;
  }
}

}  // namespace

int main(int argc, char** argv) {
  sumi::cli::wait_briefly(argv);
  std::signal(SIGPIPE, SIG_IGN);  // a closed output is seen when writing to it
  try {
    return run(argc, argv);
  } catch (const sumi::cli::OutputClosed&) {
    return 0;
  } catch (const std::bad_alloc&) {
    return error_exit("out of memory");
  } catch (const std::exception& error) {
    return error_exit(error.what());
  }
}

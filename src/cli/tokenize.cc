// sumi tokenize: text to token ids and back.

#include "base/error.h"
#include "cli/common.h"
#include "cli/verbs.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string model, text, file, ids;
  bool no_special = false, json = false;
};

int run_tokenize(const Flags& flags, bool has_text, bool has_file, bool has_ids) {
  if (has_text + has_file + has_ids != 1)
    throw CLI::RequiredError("exactly one of TEXT, --file and --decode");
  if (has_ids) {
    const std::vector<int32_t> ids = parse_ids(flags.ids, "--decode");
    const std::string text = open_model_tokenizer(flags.model)->decode(ids, flags.no_special);
    if (flags.json) {
      write_json({{"ids", ids}, {"text", text}});
    } else {
      write_out(text + "\n");
    }
    return 0;
  }
  const std::string text = has_file ? read_text_file(flags.file) : flags.text;
  const std::unique_ptr<text::Tokenizer> tokenizer = open_model_tokenizer(flags.model);
  const std::vector<int32_t> ids = tokenizer->encode(text, {.add_special = !flags.no_special});
  std::vector<std::string> tokens;
  for (const int32_t id : ids) tokens.push_back(tokenizer->token_text(id));
  if (flags.json) {
    write_json({{"ids", ids}, {"tokens", tokens}});
    return 0;
  }
  for (size_t i = 0; i < ids.size(); ++i) write_out(fmt::format("{}\t{}\n", ids[i], tokens[i]));
  return 0;
}

}  // namespace

void add_tokenize(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("tokenize", "Turn text into token ids, or ids into text");
  verb->add_option("MODEL", flags->model,
                   "Model whose tokenizer to use; its weights are not loaded")
      ->required();
  CLI::Option* text = verb->add_option("TEXT", flags->text, "The text");
  CLI::Option* file =
      verb->add_option("--file", flags->file, "Read the text from this file (-: standard input)");
  CLI::Option* ids = verb->add_option("--decode", flags->ids, "Turn these ids into text instead")
                         ->type_name("1,2,3");
  verb->add_flag(
      "--no-special", flags->no_special,
      "Do not add the special tokens of a prompt; with --decode, leave special tokens out");
  verb->add_flag("--json", flags->json,
                 "Print {\"ids\": [...], \"tokens\": [...]}, or {\"ids\", \"text\"} for --decode");
  verb->footer(
      "Prints a line for each token: its id, a tab, and the token as the vocabulary spells it.\n\n"
      "Examples:\n"
      "  sumi tokenize model.gguf \"Hello world\"\n"
      "  sumi tokenize model.gguf --file book.txt --json\n"
      "  sumi tokenize model.gguf --decode 19556,905");
  verb->callback([=, &run] {
    run = [=] {
      return run_tokenize(*flags, text->count() > 0, file->count() > 0, ids->count() > 0);
    };
  });
}

}  // namespace sumi::cli

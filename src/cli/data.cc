// sumi data: data sets from other forms.

#include "cli/common.h"
#include "cli/verbs.h"
#include "train/oasst.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string input, output;
  train::OasstOptions options;
};

int run_oasst(const Flags& flags) {
  const train::OasstCounts counts =
      train::flatten_oasst(flags.input, flags.output, flags.options);
  write_out(fmt::format("{} dialogues ({} messages) of {} trees\n", counts.dialogues,
                        counts.messages, counts.trees));
  return 0;
}

}  // namespace

void add_data(CLI::App& app, Run& run) {
  CLI::App* data = app.add_subcommand("data", "Make data sets for training");
  data->require_subcommand(1);
  data->footer("Examples:\n  sumi data oasst trees.jsonl -o dialogues.jsonl --lang en");
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = data->add_subcommand("oasst", "Flatten OpenAssistant's conversation trees");
  verb->add_option("FILE", flags->input, "JSON lines: a tree each, or a message each")->required();
  verb->add_option("-o,--output", flags->output, "JSON lines: {\"messages\": [...]} each")
      ->required()
      ->type_name("FILE");
  verb->add_option("--lang", flags->options.language, "Only trees of this language (en, de, ...)")
      ->type_name("CODE");
  verb->add_flag("--best", flags->options.best_only, "Of several replies only the best ranked");
  verb->add_flag("--keep-rejected", flags->options.keep_rejected,
                 "Also messages that were deleted or failed their review");
  verb->footer(
      "Each way from a first question to a last answer becomes a dialogue.\n\n"
      "Examples:\n"
      "  sumi data oasst trees.jsonl -o dialogues.jsonl --lang en --best");
  verb->callback([=, &run] { run = [=] { return run_oasst(*flags); }; });
}

}  // namespace sumi::cli

// sumi perplexity: how well a model predicts a text.

#include "evaluate/perplexity.h"

#include "base/error.h"
#include "base/progress.h"
#include "cli/common.h"
#include "cli/verbs.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string model, file, ids;
  int64_t context = 0;
  bool json = false;
  ComputeFlags compute;
};

int run_perplexity(const Flags& flags, bool has_file, bool has_ids) {
  if (has_file + has_ids != 1) throw CLI::RequiredError("exactly one of --file and --ids");
  std::vector<int32_t> ids;
  std::string text;
  if (has_ids) {
    ids = parse_ids(flags.ids, "--ids");
  } else {
    text = read_text_file(flags.file);
    if (text.empty()) fail("{}: is empty", flags.file);
  }
  const OpenedModel opened = open_model(flags.model, flags.compute);
  if (has_file) {
    if (!opened.files.tokenizer)
      fail("{}: the model has no tokenizer; use --ids", opened.files.path);
    ids = opened.files.tokenizer->encode(text, {.add_special = true, .parse_special = false});
  }
  evaluate::PerplexityOptions options;
  options.context = flags.context;
  base::Progress progress("predicting");
  options.progress = [&](double fraction) { progress.update(fraction); };
  const evaluate::PerplexityResult result = evaluate::perplexity(*opened.files.model, ids, options);
  if (flags.json) {
    write_json({{"nll", result.nll},
                {"perplexity", result.perplexity},
                {"tokens", result.tokens},
                {"windows", result.windows}});
  } else {
    write_out(fmt::format("perplexity {:.4f} (nll {:.6f} per token, {} tokens, {} window{})\n",
                          result.perplexity, result.nll, result.tokens, result.windows,
                          result.windows == 1 ? "" : "s"));
  }
  return 0;
}

}  // namespace

void add_perplexity(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("perplexity", "Measure how well a model predicts a text");
  verb->add_option("MODEL", flags->model, "Model: a file, a folder or a name")->required();
  CLI::Option* file =
      verb->add_option("--file", flags->file, "The text (-: standard input)")->type_name("TEXT");
  CLI::Option* ids =
      verb->add_option("--ids", flags->ids, "The text as token ids")->type_name("1,2,3");
  verb->add_option("--context", flags->context, "Tokens in a window (default: the model's context)")
      ->check(at_least<int64_t>(2))
      ->type_name("N");
  add_adapter_flag(*verb, flags->compute);
  add_dtype_flag(*verb, flags->compute);
  add_tokenizer_flag(*verb, flags->compute);
  add_threads_flag(*verb, flags->compute);
  verb->add_flag("--json", flags->json, "Print {\"nll\", \"perplexity\", \"tokens\", \"windows\"}");
  verb->footer(
      "A text that fits in one window is read once. A longer one is cut into consecutive windows "
      "of N\n"
      "tokens without overlap, the last one shorter. In each window every token but the first is "
      "predicted\n"
      "from those before it in the window. A file is read as plain text: special tokens written in "
      "it do\n"
      "not count as such; those that begin a prompt (BOS) are added once, at the start. nll is the "
      "mean\n"
      "of -ln p; perplexity is exp(nll); tokens is how many were predicted.\n\n"
      "Examples:\n"
      "  sumi perplexity model.gguf --file text.txt\n"
      "  sumi perplexity model.gguf --file text.txt --context 512 --json\n"
      "  sumi perplexity folder --ids 1,5,9,2");
  verb->callback([=, &run] {
    run = [=] { return run_perplexity(*flags, file->count() > 0, ids->count() > 0); };
  });
}

}  // namespace sumi::cli

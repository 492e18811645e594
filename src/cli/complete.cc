// sumi complete: code for the gap between a prefix and a suffix.

#include <cstdio>
#include <limits>

#include "base/error.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "generate/completion.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string model, prefix_file, suffix_file, file, file_name, repository;
  std::vector<std::string> context_files, stop;
  text::Cursor cursor;
  int64_t max_tokens = 0;
  bool has_prefix = false, has_suffix = false, has_file = false, has_line = false;
  bool has_column = false, json = false;
  SamplingFlags sampling;
  ComputeFlags compute;
};

void check_usage(const Flags& flags) {
  if (flags.has_file == (flags.has_prefix || flags.has_suffix))
    throw CLI::RequiredError("--file, or --prefix-file and --suffix-file, but not both,");
  if (flags.has_file != flags.has_line)
    throw CLI::ValidationError("--line", "goes with --file, and --file with --line");
  if (flags.has_column && !flags.has_file)
    throw CLI::ValidationError("--column", "goes with --file");
  if (flags.has_prefix && flags.prefix_file == "-" && flags.suffix_file == "-")
    throw CLI::ValidationError("--suffix-file", "only one file can be standard input");
}

text::FillRequest read_request(const Flags& flags) {
  text::FillRequest request;
  if (flags.has_file) {
    const std::string text = read_text_file(flags.file);
    const size_t at = text::cursor_offset(text, flags.cursor, flags.file);
    request.prefix = text.substr(0, at);
    request.suffix = text.substr(at);
  } else {
    if (flags.has_prefix) request.prefix = read_text_file(flags.prefix_file);
    if (flags.has_suffix) request.suffix = read_text_file(flags.suffix_file);
  }
  request.file_name = flags.file_name;
  request.repository = flags.repository;
  for (const std::string& path : flags.context_files)
    request.context.push_back({path, read_text_file(path)});
  // Among other files the one with the gap needs a name, and its path is a good one.
  const std::string& path = flags.has_file ? flags.file : flags.prefix_file;
  if (!request.context.empty() && request.file_name.empty() && path != "-")
    request.file_name = path;
  return request;
}

void tell_what_is_cut(const text::FillPrompt& prompt, size_t context_files) {
  const auto note = [](const std::string& text) {
    std::fprintf(stderr, "(the context is full: %s)\n", text.c_str());
  };
  if (prompt.prefix_cut > 0)
    note(fmt::format("the first {} tokens before the gap are left out", prompt.prefix_cut));
  if (prompt.suffix_cut > 0)
    note(fmt::format("the last {} tokens after the gap are left out", prompt.suffix_cut));
  const int64_t dropped = static_cast<int64_t>(context_files) - prompt.context_files;
  if (dropped > 0) note(fmt::format("the first {} of the context files are left out", dropped));
}

int run_complete(const Flags& flags) {
  check_usage(flags);
  // Completions are wanted likely and repeatable: what the model's files suggest is for chats.
  models::GenerationDefaults defaults;
  defaults.temperature = 0;
  defaults.top_p = 1;
  defaults.top_k = 0;
  generate::GenerateOptions options;
  options.sampling = sampler_options(flags.sampling, defaults);
  text::check_sampler_options(options.sampling, std::numeric_limits<int32_t>::max() / 64);
  options.max_tokens = flags.max_tokens;
  options.stop = flags.stop;
  const text::FillRequest request = read_request(flags);

  const OpenedModel opened = open_model(flags.model, flags.compute);
  if (!opened.files.tokenizer) fail("{}: the model has no tokenizer", opened.files.path);
  const text::FillInTheMiddle fill(*opened.files.tokenizer, opened.files.path);
  TextStream stream("reading the code", flags.json);
  stream.attach(options);
  generate::Generator generator(*opened.files.model, opened.files.tokenizer.get());
  catch_interrupts();
  const generate::Completion completion = generate::complete(
      *opened.files.model, generator, fill, request, options, stream.pieces());
  release_interrupts();
  stream.finish();
  tell_what_is_cut(completion.prompt, request.context.size());
  if (flags.json) {
    nlohmann::ordered_json object = result_json(completion.result, options.sampling.seed,
                                                opened.load_ms, stream.first_token_ms());
    object["tokens_of"] = fill.style();
    object["prefix_cut"] = completion.prompt.prefix_cut;
    object["suffix_cut"] = completion.prompt.suffix_cut;
    object["context_files"] = completion.prompt.context_files;
    write_json(object);
  }
  return completion.result.finish_reason == "cancelled" ? 130 : 0;
}

}  // namespace

void add_complete(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("complete", "Fill a gap in code");
  verb->add_option("MODEL", flags->model, "Model: a file, a folder or a name")->required();
  CLI::Option* prefix = verb->add_option("--prefix-file", flags->prefix_file,
                                         "What is before the gap (-: standard input)")
                            ->type_name("FILE");
  CLI::Option* suffix = verb->add_option("--suffix-file", flags->suffix_file,
                                         "What is after the gap (-: standard input)")
                            ->type_name("FILE");
  CLI::Option* file =
      verb->add_option("--file", flags->file, "The whole file (-: standard input); needs --line")
          ->type_name("FILE");
  CLI::Option* line = verb->add_option("--line", flags->cursor.line, "Line of the gap, from 1")
                          ->check(at_least<int64_t>(1))
                          ->type_name("N");
  CLI::Option* column =
      verb->add_option("--column", flags->cursor.column,
                       "Characters, from 1: the gap is before this one (default: the line's end)")
          ->check(at_least<int64_t>(1))
          ->type_name("M");
  verb->add_option("--context-file", flags->context_files,
                   "Another file of the repository; may be repeated, the most related last")
      ->allow_extra_args(false)
      ->type_name("FILE");
  verb->add_option("--repo-name", flags->repository, "The repository's name")->type_name("NAME");
  verb->add_option("--file-name", flags->file_name, "Name of the file with the gap")
      ->type_name("NAME");
  verb->add_option("--max-tokens", flags->max_tokens,
                   "Make at most this many tokens (default: 256, or a quarter of the context)")
      ->check(at_least<int64_t>(1))
      ->type_name("N");
  verb->add_option("--stop", flags->stop, "End before this text; may be repeated")
      ->allow_extra_args(false)
      ->type_name("TEXT");
  add_sampling_flags(*verb, flags->sampling, "Sampling (not given: the most likely token, always)");
  add_dtype_flag(*verb, flags->compute);
  add_threads_flag(*verb, flags->compute);
  verb->add_flag("--json", flags->json,
                 "Print one JSON object when done instead of text as it comes");
  verb->footer(
      "Prints what belongs into the gap and nothing else, not even a last newline. The tokens that "
      "mark the\n"
      "parts are found in the model's vocabulary: those of StarCoder, StarCoder2, SantaCoder, "
      "CodeLlama,\n"
      "DeepSeek-Coder, Qwen2.5-Coder, CodeGemma, Codestral and Seed-Coder are known. Special tokens "
      "spelled in\n"
      "your files are plain text. What does not fit into the context is cut: the code nearest to the "
      "gap stays.\n"
      "JSON: as `sumi generate` prints, with \"tokens_of\", \"prefix_cut\", \"suffix_cut\" (tokens "
      "left out) and\n"
      "\"context_files\" (how many found room).\n\n"
      "Examples:\n"
      "  sumi complete starcoder --file main.py --line 12 --column 5\n"
      "  sumi complete folder --prefix-file before.c --suffix-file after.c --max-tokens 64\n"
      "  sumi complete qwen-coder --file app.py --line 3 --context-file util.py --repo-name demo\n"
      "  git show HEAD:app.py | sumi complete starcoder2 --file - --line 9 --stop $'\\n'");
  verb->callback([=, &run] {
    flags->has_prefix = prefix->count() > 0;
    flags->has_suffix = suffix->count() > 0;
    flags->has_file = file->count() > 0;
    flags->has_line = line->count() > 0;
    flags->has_column = column->count() > 0;
    run = [=] { return run_complete(*flags); };
  });
}

}  // namespace sumi::cli

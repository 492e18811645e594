// sumi embed: texts in, one vector for each out.

#include <algorithm>

#include "base/error.h"
#include "base/progress.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "evaluate/embedding.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string model, file, pooling;
  std::vector<std::string> texts;
  bool no_normalize = false, truncate = false, json = false;
  ComputeFlags compute;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(std::move(line));
    at = end + 1;
  }
  return lines;
}

// At most `limit` ids: the text is cut, what the tokenizer adds around it stays.
std::vector<int32_t> encode_within(const text::Tokenizer& tokenizer, const std::string& text,
                                   size_t limit) {
  const std::vector<int32_t> whole = tokenizer.encode(text);
  if (whole.size() <= limit) return whole;
  text::EncodeOptions plain_options;
  plain_options.add_special = false;
  const std::vector<int32_t> plain = tokenizer.encode(text, plain_options);
  const auto begin = std::search(whole.begin(), whole.end(), plain.begin(), plain.end());
  const size_t around = whole.size() - plain.size();
  if (begin == whole.end() || around >= limit)
    fail("a text of {} tokens cannot be cut to {}", whole.size(), limit);
  std::vector<int32_t> ids(whole.begin(), begin + static_cast<std::ptrdiff_t>(limit - around));
  ids.insert(ids.end(), begin + static_cast<std::ptrdiff_t>(plain.size()), whole.end());
  return ids;
}

int run_embed(const Flags& flags) {
  if (flags.texts.empty() == flags.file.empty())
    throw CLI::RequiredError("exactly one of TEXT and --file");
  const std::vector<std::string> texts =
      flags.file.empty() ? flags.texts : lines_of(read_text_file(flags.file));
  if (texts.empty()) fail("{}: no lines with text", flags.file);
  const OpenedModel opened = open_model(flags.model, flags.compute);
  const models::LanguageModelFiles& files = opened.files;
  if (!files.tokenizer) fail("{}: the model has no tokenizer", files.path);
  evaluate::EmbeddingDefaults options = evaluate::embedding_defaults(
      files.path, files.model->has_encoder() || !files.model->continues_text());
  if (!flags.pooling.empty()) options.pooling = evaluate::pooling_from_name(flags.pooling);
  if (flags.no_normalize) options.normalize = false;
  size_t limit = static_cast<size_t>(files.model->max_positions());
  if (options.max_tokens > 0) limit = std::min(limit, static_cast<size_t>(options.max_tokens));
  // All are encoded first: an error shows before the work.
  std::vector<std::vector<int32_t>> ids;
  for (const std::string& text : texts) {
    ids.push_back(flags.truncate ? encode_within(*files.tokenizer, text, limit)
                                 : files.tokenizer->encode(text));
    if (ids.back().size() > limit)
      fail("text {} has {} tokens, the model reads at most {}; --truncate cuts texts", ids.size(),
           ids.back().size(), limit);
  }
  base::Progress progress("embedding");
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::vector<float> vector =
        evaluate::embed(*files.model, ids[i], options.pooling, options.normalize);
    progress.update(static_cast<double>(i + 1) / static_cast<double>(ids.size()));
    if (flags.json) {
      write_json({{"index", i}, {"tokens", ids[i].size()}, {"embedding", vector}});
      continue;
    }
    std::string line;
    for (const float value : vector) line += fmt::format("{}{}", line.empty() ? "" : " ", value);
    write_out(line + "\n");
  }
  return 0;
}

}  // namespace

void add_embed(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("embed", "Turn texts into vectors");
  verb->add_option("MODEL", flags->model, "Model: a file, a folder or a name")->required();
  verb->add_option("TEXT", flags->texts, "Texts");
  verb->add_option("--file", flags->file,
                   "Read texts from this file, one a line (-: standard input)")
      ->type_name("FILE");
  verb->add_option("--pooling", flags->pooling,
                   "How positions become one vector (default: as the folder says)")
      ->check(CLI::IsMember({"mean", "cls", "last"}))
      ->type_name("KIND");
  verb->add_flag("--no-normalize", flags->no_normalize, "Do not scale vectors to length 1");
  verb->add_flag("--truncate", flags->truncate, "Cut texts that are longer than the model reads");
  add_dtype_flag(*verb, flags->compute);
  add_threads_flag(*verb, flags->compute);
  verb->add_flag("--json", flags->json, "Print a JSON object for each text, on a line of its own");
  verb->footer(
      "Encoders (BERT, RoBERTa, XLM-R, T5) and decoders. JSON: {\"index\", \"tokens\", "
      "\"embedding\": [...]}.\n"
      "Of vectors of length 1 the inner product is the cosine.\n\n"
      "Examples:\n"
      "  sumi embed folder \"a text\" \"another\"\n"
      "  sumi embed folder --file lines.txt --json");
  verb->callback([=, &run] { run = [=] { return run_embed(*flags); }; });
}

}  // namespace sumi::cli

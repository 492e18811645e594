#include "text/fill_in_the_middle.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace sumi::text {

namespace {

// Where the prefix's marker stands, from the prompt's start to the prefix.
enum class MarkerPlace { first, before_file_name, after_file_name };

}  // namespace

// Null: the family has no such token.
struct FillStyle {
  const char* name;
  const char *prefix, *suffix, *middle;
  const char *repository, *file;
  std::vector<const char*> ends;  // of a text, besides what the tokenizer's files say
  MarkerPlace place = MarkerPlace::after_file_name;
  bool suffix_first = false;       // trained as suffix, prefix, middle
  bool file_separates = false;     // `file` stands after each file, not before
  bool newlines = false;           // the repository's name and each file end with a newline
  bool suffix_continues = false;   // the suffix is encoded without the space before a first word
};

namespace {

// A vocabulary has the first style of which it has all tokens. How each was trained, in order:
// arXiv:2402.19173 (section on data formatting); arXiv:2305.06161 (the whole sample, its file's
// name included, was cut in three); the SantaCoder and Qwen2.5-Coder model cards; arXiv:2406.11409,
// figure 1; arXiv:2308.12950 and the authors' infilling code; arXiv:2401.14196, section 3.1.2;
// mistral-common's encode_fim; Seed-Coder's model card.
const std::vector<FillStyle>& styles() {
  static const std::vector<FillStyle> all = {
      {.name = "StarCoder2",
       .prefix = "<fim_prefix>",
       .suffix = "<fim_suffix>",
       .middle = "<fim_middle>",
       .repository = "<repo_name>",
       .file = "<file_sep>",
       .ends = {"<|endoftext|>", "<fim_pad>"},
       .place = MarkerPlace::before_file_name},
      {.name = "StarCoder",
       .prefix = "<fim_prefix>",
       .suffix = "<fim_suffix>",
       .middle = "<fim_middle>",
       .repository = "<reponame>",
       .file = "<filename>",
       .ends = {"<|endoftext|>", "<fim_pad>"},
       .place = MarkerPlace::first},
      {.name = "StarCoder without files",
       .prefix = "<fim_prefix>",
       .suffix = "<fim_suffix>",
       .middle = "<fim_middle>",
       .repository = nullptr,
       .file = nullptr,
       .ends = {"<|endoftext|>", "<fim_pad>"}},
      {.name = "SantaCoder",
       .prefix = "<fim-prefix>",
       .suffix = "<fim-suffix>",
       .middle = "<fim-middle>",
       .repository = nullptr,
       .file = nullptr,
       .ends = {"<|endoftext|>", "<fim-pad>"}},
      {.name = "Qwen2.5-Coder",
       .prefix = "<|fim_prefix|>",
       .suffix = "<|fim_suffix|>",
       .middle = "<|fim_middle|>",
       .repository = "<|repo_name|>",
       .file = "<|file_sep|>",
       .ends = {"<|endoftext|>", "<|fim_pad|>"},
       .newlines = true},
      {.name = "CodeGemma",
       .prefix = "<|fim_prefix|>",
       .suffix = "<|fim_suffix|>",
       .middle = "<|fim_middle|>",
       .repository = nullptr,
       .file = "<|file_separator|>",
       .ends = {},
       .file_separates = true},
      {.name = "CodeLlama",
       .prefix = "▁<PRE>",
       .suffix = "▁<SUF>",
       .middle = "▁<MID>",
       .repository = nullptr,
       .file = nullptr,
       .ends = {"▁<EOT>"},
       .suffix_continues = true},
      {.name = "DeepSeek-Coder",
       .prefix = "<｜fim▁begin｜>",
       .suffix = "<｜fim▁hole｜>",
       .middle = "<｜fim▁end｜>",
       .repository = nullptr,
       .file = nullptr,
       .ends = {"<｜end▁of▁sentence｜>", "<|EOT|>"}},
      {.name = "Codestral",
       .prefix = "[PREFIX]",
       .suffix = "[SUFFIX]",
       .middle = nullptr,
       .repository = nullptr,
       .file = nullptr,
       .ends = {},
       .suffix_first = true},
      {.name = "Seed-Coder",
       .prefix = "<[fim-prefix]>",
       .suffix = "<[fim-suffix]>",
       .middle = "<[fim-middle]>",
       .repository = nullptr,
       .file = nullptr,
       .ends = {},
       .suffix_first = true},
  };
  return all;
}

std::string known_styles() {
  std::string names;
  for (const FillStyle& style : styles())
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", style.name, style.prefix);
  return names;
}

void append(std::vector<int32_t>* ids, const std::vector<int32_t>& more) {
  ids->insert(ids->end(), more.begin(), more.end());
}

int64_t size(const std::vector<int32_t>& ids) { return static_cast<int64_t>(ids.size()); }

}  // namespace

FillInTheMiddle::FillInTheMiddle(const Tokenizer& tokenizer, const std::string& model)
    : tokenizer_(tokenizer), model_(model) {
  const auto id = [&](const char* token) {
    return token ? tokenizer.find_token(token).value_or(-1) : -1;
  };
  for (const FillStyle& style : styles()) {
    const auto missing = [&](const char* token) { return token && id(token) < 0; };
    if (missing(style.prefix) || missing(style.suffix) || missing(style.middle) ||
        missing(style.repository) || missing(style.file))
      continue;
    style_ = &style;
    break;
  }
  if (!style_)
    fail(
        "{}: the vocabulary has no tokens for filling in code; known are those of {}. `sumi "
        "generate` continues a text without them",
        model, known_styles());
  prefix_ = id(style_->prefix);
  suffix_ = id(style_->suffix);
  middle_ = id(style_->middle);
  repository_ = id(style_->repository);
  file_ = id(style_->file);
  for (const int32_t marker : {prefix_, suffix_, middle_, repository_, file_})
    if (marker >= 0) stop_ids_.push_back(marker);
  for (const char* token : style_->ends)
    if (id(token) >= 0) stop_ids_.push_back(id(token));
  never_in_text_ = stop_ids_;
  append(&never_in_text_, tokenizer.end_ids);
}

const char* FillInTheMiddle::style() const { return style_->name; }

std::vector<int32_t> FillInTheMiddle::encode(std::string_view text) const {
  return tokenizer_.encode(
      text, {.add_special = false, .parse_special = false, .as_text = never_in_text_});
}

// Some tokenizers put a space before the first word of a text; a text that goes on has none. A
// character that merges with nothing is put before it and its tokens are taken away again, as
// CodeLlama's authors do.
std::vector<int32_t> FillInTheMiddle::encode_continuation(std::string_view text) const {
  const std::string sign = "☺";
  const std::vector<int32_t> sign_ids = encode(sign);
  std::vector<int32_t> ids = encode(sign + std::string(text));
  if (ids.size() < sign_ids.size() || !std::equal(sign_ids.begin(), sign_ids.end(), ids.begin()))
    fail("{}: the tokenizer merges {} with what follows it", model_, sign);
  ids.erase(ids.begin(), ids.begin() + size(sign_ids));
  return ids;
}

std::vector<int32_t> FillInTheMiddle::encode_file(const SourceFile& file) const {
  std::string text = file.name + "\n" + file.text;
  if (style_->newlines && text.back() != '\n') text += '\n';
  std::vector<int32_t> ids = encode(text);
  ids.insert(style_->file_separates ? ids.end() : ids.begin(), file_);
  return ids;
}

void FillInTheMiddle::check(const FillRequest& request) const {
  const auto lacks = [&](const char* what) {
    fail("{}: the vocabulary ({}) has no token for {}", model_, style_->name, what);
  };
  if (!request.repository.empty() && repository_ < 0) lacks("a repository's name");
  if (!request.context.empty() && file_ < 0) lacks("other files of the repository");
  if (!request.file_name.empty() && file_ < 0) lacks("a file's name");
  for (const SourceFile& file : request.context)
    if (file.name.empty()) fail("context file: its name is empty");
}

FillPrompt FillInTheMiddle::prompt(const FillRequest& request, int64_t max_tokens) const {
  check(request);
  std::vector<int32_t> repository, file_name;
  if (!request.repository.empty()) {
    repository = encode(request.repository + (style_->newlines ? "\n" : ""));
    repository.insert(repository.begin(), repository_);
  }
  if (!request.file_name.empty()) file_name = encode(request.file_name + "\n");
  const bool speaks_of_files =
      !request.repository.empty() || !request.context.empty() || !request.file_name.empty();
  const bool opens_file = speaks_of_files && !style_->file_separates;
  std::vector<int32_t> prefix = encode(request.prefix);
  std::vector<int32_t> suffix =
      style_->suffix_continues ? encode_continuation(request.suffix) : encode(request.suffix);

  const int64_t fixed = (tokenizer_.adds_bos ? 1 : 0) + size(repository) + size(file_name) +
                        (opens_file ? 1 : 0) + 2 + (middle_ >= 0 ? 1 : 0);
  int64_t room = max_tokens - fixed;
  if (room < 0)
    fail("{}: the prompt's markers and names take {} tokens, there is room for {}", model_, fixed,
         max_tokens);
  FillPrompt result;
  const int64_t suffix_share = std::max(room - size(prefix), room / 4);
  result.suffix_cut = std::max<int64_t>(0, size(suffix) - suffix_share);
  suffix.resize(suffix.size() - static_cast<size_t>(result.suffix_cut));
  room -= size(suffix);
  result.prefix_cut = std::max<int64_t>(0, size(prefix) - room);
  prefix.erase(prefix.begin(), prefix.begin() + result.prefix_cut);
  room -= size(prefix);
  std::vector<std::vector<int32_t>> files;  // the last of the context first
  for (auto file = request.context.rbegin(); file != request.context.rend(); ++file) {
    std::vector<int32_t> ids = encode_file(*file);
    if (size(ids) > room) break;
    room -= size(ids);
    files.push_back(std::move(ids));
  }
  result.context_files = static_cast<int64_t>(files.size());

  std::vector<int32_t>& ids = result.ids;
  if (tokenizer_.adds_bos) ids.push_back(*tokenizer_.bos_id);
  if (style_->place == MarkerPlace::first) ids.push_back(prefix_);
  append(&ids, repository);
  for (auto file = files.rbegin(); file != files.rend(); ++file) append(&ids, *file);
  if (opens_file) ids.push_back(file_);
  if (style_->place == MarkerPlace::before_file_name) ids.push_back(prefix_);
  append(&ids, file_name);
  if (style_->suffix_first) {
    ids.push_back(suffix_);
    append(&ids, suffix);
  }
  if (style_->place == MarkerPlace::after_file_name) ids.push_back(prefix_);
  append(&ids, prefix);
  if (!style_->suffix_first) {
    ids.push_back(suffix_);
    append(&ids, suffix);
  }
  if (middle_ >= 0) ids.push_back(middle_);
  return result;
}

size_t cursor_offset(std::string_view text, const Cursor& cursor, const std::string& file) {
  size_t begin = 0;
  for (int64_t line = 1; line < cursor.line; ++line) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos)
      fail("{}: line {}: the file has {} lines", file, cursor.line, line);
    begin = end + 1;
  }
  size_t end = std::min(text.find('\n', begin), text.size());
  if (end > begin && end < text.size() && text[end - 1] == '\r') --end;
  if (cursor.column == 0) return end;
  size_t at = begin;
  int64_t column = 1;
  for (; column < cursor.column && at < end; ++column) next_code_point(text, &at);
  if (column < cursor.column)
    fail("{}: column {}: line {} has {} characters, so the last column is {}", file, cursor.column,
         cursor.line, column - 1, column);
  return at;
}

}  // namespace sumi::text

#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"
#include "text/unicode.h"

namespace sumi::text {

struct Regex::Code {
  pcre2_code* code = nullptr;
  bool jit = false;
  std::string where, pattern;
  ~Code() { pcre2_code_free(code); }
};

namespace {

// One set per thread: matching is const and may run in several threads at once.
struct Scratch {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, 16 << 20, nullptr);

  Scratch() {
    if (!data || !context || !stack) fail("out of memory for regular expressions");
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Scratch() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

std::string pcre2_message(int code) {
  unsigned char buffer[256];
  const int length = pcre2_get_error_message(code, buffer, sizeof buffer);
  return length < 0 ? "error " + std::to_string(code) : reinterpret_cast<const char*>(buffer);
}

}  // namespace

Regex::Regex(const std::string& pattern, const std::string& where) {
  auto code = std::make_shared<Code>();
  code->where = where;
  code->pattern = pattern;
  if (!is_valid_utf8(pattern)) fail("{}: a regular expression is not UTF-8", where);
  const std::string translated = translate_regex(pattern, where);
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  if (!context) fail("out of memory for regular expressions");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // Ruby's ^ and $ match at every line.
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                             &error, &offset, context.get());
  if (!code->code) {
    fail("{}: regular expression {}: {} (at byte {} of its PCRE2 form {})", where, pattern,
         pcre2_message(error), offset, translated);
  }
  // Where machine code is not allowed or not available, the same pattern is interpreted.
  code->jit = pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE) == 0;
  code_ = std::move(code);
}

Regex Regex::literal(std::string_view text, const std::string& where) {
  std::string pattern;
  for (const char c : text) {
    // ASCII letters and digits gain a meaning from a backslash, punctuation loses it.
    if ((c & 0x80) == 0 && is_punctuation(static_cast<unsigned char>(c))) pattern += '\\';
    pattern += c;
  }
  return Regex(pattern, where);
}

std::vector<Regex::Match> Regex::matches(std::string_view text) const {
  static thread_local Scratch scratch;
  std::vector<Match> found;
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t from = 0;
  bool any = false;
  size_t last_end = 0;
  while (from <= text.size()) {
    int status = PCRE2_ERROR_JIT_STACKLIMIT;
    if (code_->jit) {
      status = pcre2_jit_match(code_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                               scratch.data, scratch.context);
    }
    if (status == PCRE2_ERROR_JIT_STACKLIMIT) {  // the interpreter keeps its stack on the heap
      status = pcre2_match(code_->code, subject, text.size(), from,
                           PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch.data, scratch.context);
    }
    if (status == PCRE2_ERROR_NOMATCH) break;
    if (status < 0) {
      fail("{}: regular expression {}: {}", code_->where, code_->pattern, pcre2_message(status));
    }
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(scratch.data);
    const size_t begin = ends[0], end = ends[1];
    if (begin > end || end < from) {  // \K inside a lookahead can do this
      fail("{}: regular expression {}: a match ends before it starts", code_->where,
           code_->pattern);
    }
    if (begin == end) {
      from = end < text.size() ? end + utf8_length(text[end]) : end + 1;
      if (any && last_end == end) continue;
    } else {
      from = end;
    }
    found.push_back({begin, end});
    any = true;
    last_end = end;
  }
  return found;
}

}  // namespace sumi::text

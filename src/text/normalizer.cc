#include "text/normalizer.h"

#include <vector>

#include "base/error.h"
#include "text/charsmap.h"
#include "text/regex.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

class SequenceNormalizer : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<Normalizer>> steps)
      : steps_(std::move(steps)) {}
  void apply(std::string* text) const override {
    for (const auto& step : steps_) step->apply(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

// A normalizer without state beyond its settings.
template <class Function>
class FunctionNormalizer : public Normalizer {
 public:
  explicit FunctionNormalizer(Function function) : function_(std::move(function)) {}
  void apply(std::string* text) const override { function_(text); }

 private:
  Function function_;
};

template <class Function>
std::unique_ptr<Normalizer> from_function(Function function) {
  return std::make_unique<FunctionNormalizer<Function>>(std::move(function));
}

void strip(std::string* text, bool left, bool right) {
  size_t begin = 0, end = text->size();
  while (left && begin < end) {
    size_t next = begin;
    if (!is_whitespace(next_code_point(*text, &next))) break;
    begin = next;
  }
  while (right && end > begin) {
    size_t start = end - 1;
    while (start > begin && (static_cast<unsigned char>((*text)[start]) & 0xc0) == 0x80) --start;
    size_t next = start;
    if (!is_whitespace(next_code_point(*text, &next))) break;
    end = start;
  }
  *text = text->substr(begin, end - begin);
}

std::unique_ptr<Normalizer> make_replace(const Json& config, const std::string& where) {
  const Json& pattern = require_field(config, "pattern", where);
  const std::string content = require_string(config, "content", where);
  if (find_field(pattern, "String")) {
    const std::string from = require_string(pattern, "String", where);
    return from_function([from, content](std::string* text) {
      if (!from.empty()) replace_all(text, from, content);
    });
  }
  const Regex regex(require_string(pattern, "Regex", where), where);
  return from_function([regex, content](std::string* text) {
    const auto matches = regex.matches(*text);
    if (matches.empty()) return;
    std::string result;
    size_t done = 0;
    for (const auto& match : matches) {
      result.append(*text, done, match.begin - done).append(content);
      done = match.end;
    }
    result.append(*text, done);
    *text = std::move(result);
  });
}

// The blocks that BERT's original code calls CJK characters. One range is short of what it means,
// in tokenizers as well.
bool is_bert_ideograph(char32_t c) {
  return (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x2a6df) ||
         (c >= 0x2a700 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
         (c >= 0x2f800 && c <= 0x2fa1f);
}

// google-research/bert, tokenization.py: BasicTokenizer's cleaning.
std::unique_ptr<Normalizer> make_bert(const Json& config, const std::string& where) {
  const bool clean = optional_bool(config, "clean_text", true, where);
  const bool ideographs = optional_bool(config, "handle_chinese_chars", true, where);
  const bool lower = optional_bool(config, "lowercase", true, where);
  const bool strip = optional_bool(config, "strip_accents", lower, where);
  return from_function([=](std::string* text) {
    std::string result;
    for (size_t at = 0; at < text->size();) {
      char32_t c = next_code_point(*text, &at);
      const bool space = is_whitespace(c);
      if (clean) {
        // of the control characters, tab and the line ends are white space, others are dropped
        if (c != '\t' && c != '\n' && c != '\r' && (c == 0xfffd || is_control(c))) continue;
        if (space) c = ' ';
      }
      if (ideographs && is_bert_ideograph(c)) {
        result += ' ';
        append_utf8(&result, c);
        result += ' ';
      } else {
        append_utf8(&result, c);
      }
    }
    *text = std::move(result);
    if (strip) {
      const std::string decomposed = normalize(*text, NormalForm::nfd);
      text->clear();
      for (size_t at = 0; at < decomposed.size();) {
        const char32_t c = next_code_point(decomposed, &at);
        if (!is_nonspacing_mark(c)) append_utf8(text, c);
      }
    }
    if (lower) *text = lowercase(*text);
  });
}

std::unique_ptr<Normalizer> make_precompiled(const Json& config, const std::string& where) {
  const Charsmap map(decode_base64(require_string(config, "precompiled_charsmap", where), where),
                     where);
  return from_function([map](std::string* text) { *text = normalize_precompiled(map, *text); });
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& config, const std::string& where) {
  const std::string type = require_string(config, "type", where);
  const std::string here = where + " " + type;
  if (type == "Sequence") {
    const Json& list = require_array(config, "normalizers", here);
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (const Json& step : list) steps.push_back(make_normalizer(step, here));
    return std::make_unique<SequenceNormalizer>(std::move(steps));
  }
  const auto unicode = [](NormalForm form) {
    return from_function([form](std::string* text) { *text = normalize(*text, form); });
  };
  if (type == "NFC") return unicode(NormalForm::nfc);
  if (type == "NFD") return unicode(NormalForm::nfd);
  if (type == "NFKC") return unicode(NormalForm::nfkc);
  if (type == "NFKD") return unicode(NormalForm::nfkd);
  if (type == "Lowercase")
    return from_function([](std::string* text) { *text = lowercase(*text); });
  if (type == "Strip") {
    const bool left = optional_bool(config, "strip_left", true, here);
    const bool right = optional_bool(config, "strip_right", true, here);
    return from_function([left, right](std::string* text) { strip(text, left, right); });
  }
  if (type == "StripAccents") {
    return from_function([](std::string* text) {
      std::string kept;
      for (size_t at = 0; at < text->size();) {
        const char32_t code_point = next_code_point(*text, &at);
        if (!is_mark(code_point)) append_utf8(&kept, code_point);
      }
      *text = std::move(kept);
    });
  }
  if (type == "Replace") return make_replace(config, here);
  if (type == "BertNormalizer") return make_bert(config, here);
  if (type == "Precompiled") return make_precompiled(config, here);
  if (type == "Prepend") {
    const std::string prefix = require_string(config, "prepend", here);
    return from_function([prefix](std::string* text) {
      if (!text->empty()) text->insert(0, prefix);
    });
  }
  if (type == "ByteLevel") {
    return from_function([](std::string* text) {
      std::string symbols;
      for (const char c : *text) symbols += byte_symbol(static_cast<uint8_t>(c));
      *text = std::move(symbols);
    });
  }
  fail("{}: unknown normalizer type {}", where, type);
}

}  // namespace sumi::text

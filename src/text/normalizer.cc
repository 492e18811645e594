#include "text/normalizer.h"

#include <vector>

#include "base/error.h"
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

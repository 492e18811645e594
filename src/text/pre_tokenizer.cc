#include "text/pre_tokenizer.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "text/regex.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior behavior_of(const std::string& name, const std::string& where) {
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  fail("{}: unknown behavior {}", where, name);
}

struct Span {
  size_t begin, end;
  bool match;
};

// Matches and the gaps between them, in order, covering the text.
std::vector<Span> cover(size_t size, const std::vector<Regex::Match>& matches, bool invert) {
  std::vector<Span> spans;
  size_t done = 0;
  for (const auto& match : matches) {
    if (match.begin > done) spans.push_back({done, match.begin, invert});
    spans.push_back({match.begin, match.end, !invert});
    done = match.end;
  }
  if (done < size) spans.push_back({done, size, invert});
  return spans;
}

std::vector<Span> merge_spans(std::vector<Span> spans, Behavior behavior) {
  std::vector<Span> merged;
  bool previous = false;
  switch (behavior) {
    case Behavior::removed:
      spans.erase(std::remove_if(spans.begin(), spans.end(), [](const Span& s) { return s.match; }),
                  spans.end());
      return spans;
    case Behavior::isolated:
      return spans;
    case Behavior::contiguous:
      for (const Span& span : spans) {
        if (span.match == previous && !merged.empty()) {
          merged.back().end = span.end;
        } else {
          merged.push_back(span);
        }
        previous = span.match;
      }
      return merged;
    case Behavior::merged_with_previous:
      for (const Span& span : spans) {
        if (span.match && !previous && !merged.empty()) {
          merged.back().end = span.end;
        } else {
          merged.push_back(span);
        }
        previous = span.match;
      }
      return merged;
    case Behavior::merged_with_next:
      for (auto span = spans.rbegin(); span != spans.rend(); ++span) {
        if (span->match && !previous && !merged.empty()) {
          merged.back().begin = span->begin;
        } else {
          merged.push_back(*span);
        }
        previous = span->match;
      }
      std::reverse(merged.begin(), merged.end());
      return merged;
  }
  return spans;
}

// Replaces every piece by its spans, as find(text) gives them.
template <class Find>
void split_pieces(std::vector<Piece>* pieces, Behavior behavior, const Find& find) {
  std::vector<Piece> result;
  result.reserve(pieces->size());
  for (Piece& piece : *pieces) {
    const auto spans = merge_spans(find(piece.text), behavior);
    if (spans.size() == 1 && spans[0].begin == 0 && spans[0].end == piece.text.size()) {
      if (!piece.text.empty()) result.push_back(std::move(piece));
      continue;
    }
    for (const Span& span : spans) {
      if (span.begin == span.end) continue;
      result.push_back({piece.text.substr(span.begin, span.end - span.begin),
                        piece.starts_text && span.begin == 0});
    }
  }
  *pieces = std::move(result);
}

// Each character for which test(code point) holds is a match of its own.
template <class Test>
std::vector<Regex::Match> character_matches(std::string_view text, const Test& test) {
  std::vector<Regex::Match> matches;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (test(next_code_point(text, &at))) matches.push_back({begin, at});
  }
  return matches;
}

template <class Test>
class CharacterSplit : public PreTokenizer {
 public:
  CharacterSplit(Behavior behavior, Test test) : behavior_(behavior), test_(test) {}
  void apply(std::vector<Piece>* pieces) const override {
    split_pieces(pieces, behavior_, [&](const std::string& text) {
      return cover(text.size(), character_matches(text, test_), false);
    });
  }

 private:
  Behavior behavior_;
  Test test_;
};

template <class Test>
std::unique_ptr<PreTokenizer> split_at(Behavior behavior, Test test) {
  return std::make_unique<CharacterSplit<Test>>(behavior, test);
}

class SequencePreTokenizer : public PreTokenizer {
 public:
  explicit SequencePreTokenizer(std::vector<std::unique_ptr<PreTokenizer>> steps)
      : steps_(std::move(steps)) {}
  void apply(std::vector<Piece>* pieces) const override {
    for (const auto& step : steps_) step->apply(pieces);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

class RegexSplit : public PreTokenizer {
 public:
  RegexSplit(Regex regex, Behavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}
  void apply(std::vector<Piece>* pieces) const override {
    split_pieces(pieces, behavior_, [&](const std::string& text) {
      return cover(text.size(), regex_.matches(text), invert_);
    });
  }

 private:
  Regex regex_;
  Behavior behavior_;
  bool invert_;
};

// GPT-2's pattern, from openai/gpt-2, src/encoder.py.
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex, const std::string& where)
      : add_prefix_space_(add_prefix_space) {
    if (use_regex) regex_ = Regex(kGpt2Pattern, where);
  }
  void apply(std::vector<Piece>* pieces) const override {
    if (add_prefix_space_) {
      for (Piece& piece : *pieces) {
        if (piece.text.empty() || piece.text[0] != ' ') piece.text.insert(0, " ");
      }
    }
    if (regex_) {
      split_pieces(pieces, Behavior::isolated, [&](const std::string& text) {
        return cover(text.size(), regex_->matches(text), false);
      });
    }
    for (Piece& piece : *pieces) {
      std::string symbols;
      symbols.reserve(piece.text.size() + 8);
      for (const char c : piece.text) symbols += byte_symbol(static_cast<uint8_t>(c));
      piece.text = std::move(symbols);
    }
  }

 private:
  bool add_prefix_space_;
  std::optional<Regex> regex_;
};

class Metaspace : public PreTokenizer {
 public:
  enum class Prepend { always, first, never };
  Metaspace(std::string replacement, Prepend prepend, bool split)
      : replacement_(std::move(replacement)), prepend_(prepend), split_(split) {}
  void apply(std::vector<Piece>* pieces) const override {
    for (Piece& piece : *pieces) {
      replace_all(&piece.text, " ", replacement_);
      const bool wanted =
          prepend_ == Prepend::always || (prepend_ == Prepend::first && piece.starts_text);
      if (wanted && piece.text.compare(0, replacement_.size(), replacement_) != 0) {
        piece.text.insert(0, replacement_);
      }
    }
    if (!split_) return;
    split_pieces(pieces, Behavior::merged_with_next, [&](const std::string& text) {
      std::vector<Regex::Match> matches;
      for (size_t at = text.find(replacement_); at != std::string::npos;
           at = text.find(replacement_, at + replacement_.size())) {
        matches.push_back({at, at + replacement_.size()});
      }
      return cover(text.size(), matches, false);
    });
  }

 private:
  std::string replacement_;
  Prepend prepend_;
  bool split_;
};

// Runs of word characters, and runs of what is neither word nor white space; white space is
// dropped.
class WhitespacePreTokenizer : public PreTokenizer {
 public:
  void apply(std::vector<Piece>* pieces) const override {
    split_pieces(pieces, Behavior::removed, [](const std::string& text) {
      std::vector<Span> spans;
      int previous = -1;
      for (size_t at = 0; at < text.size();) {
        const size_t begin = at;
        const char32_t c = next_code_point(text, &at);
        const int kind = is_word(c) ? 1 : is_whitespace(c) ? 0 : 2;
        if (kind == previous) {
          spans.back().end = at;
        } else {
          spans.push_back({begin, at, kind == 0});
        }
        previous = kind;
      }
      return spans;
    });
  }
};

std::unique_ptr<PreTokenizer> make_split(const Json& config, const std::string& where) {
  const Json& pattern = require_field(config, "pattern", where);
  const Behavior behavior = behavior_of(require_string(config, "behavior", where), where);
  const bool invert = optional_bool(config, "invert", false, where);
  if (find_field(pattern, "String")) {
    return std::make_unique<RegexSplit>(
        Regex::literal(require_string(pattern, "String", where), where), behavior, invert);
  }
  return std::make_unique<RegexSplit>(Regex(require_string(pattern, "Regex", where), where),
                                      behavior, invert);
}

std::unique_ptr<PreTokenizer> make_metaspace(const Json& config, const std::string& where) {
  const std::string replacement = optional_string(config, "replacement", "▁", where);
  size_t at = 0;
  if (!replacement.empty()) next_code_point(replacement, &at);
  if (replacement.empty() || at != replacement.size()) {
    fail("{}: replacement: expected one character, found \"{}\"", where, replacement);
  }
  // Files older than prepend_scheme have add_prefix_space.
  const bool prefix = optional_bool(config, "add_prefix_space", true, where);
  const std::string scheme =
      optional_string(config, "prepend_scheme", prefix ? "always" : "never", where);
  Metaspace::Prepend prepend = Metaspace::Prepend::always;
  if (scheme == "first") {
    prepend = Metaspace::Prepend::first;
  } else if (scheme == "never") {
    prepend = Metaspace::Prepend::never;
  } else if (scheme != "always") {
    fail("{}: unknown prepend_scheme {}", where, scheme);
  }
  return std::make_unique<Metaspace>(replacement, prepend,
                                     optional_bool(config, "split", true, where));
}

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json& config, const std::string& where) {
  const std::string type = require_string(config, "type", where);
  const std::string here = where + " " + type;
  if (type == "Sequence") {
    const Json& list = require_array(config, "pretokenizers", here);
    std::vector<std::unique_ptr<PreTokenizer>> steps;
    for (const Json& step : list) steps.push_back(make_pre_tokenizer(step, here));
    return std::make_unique<SequencePreTokenizer>(std::move(steps));
  }
  if (type == "ByteLevel") {
    return std::make_unique<ByteLevel>(optional_bool(config, "add_prefix_space", true, here),
                                       optional_bool(config, "use_regex", true, here), here);
  }
  if (type == "Split") return make_split(config, here);
  if (type == "Metaspace") return make_metaspace(config, here);
  if (type == "Digits") {
    const bool single = optional_bool(config, "individual_digits", false, here);
    return split_at(single ? Behavior::isolated : Behavior::contiguous, is_number);
  }
  if (type == "Punctuation") {
    return split_at(behavior_of(optional_string(config, "behavior", "Isolated", here), here),
                    is_punctuation);
  }
  if (type == "Whitespace") return std::make_unique<WhitespacePreTokenizer>();
  if (type == "BertPreTokenizer") {
    std::vector<std::unique_ptr<PreTokenizer>> steps;
    steps.push_back(split_at(Behavior::removed, is_whitespace));
    steps.push_back(split_at(Behavior::isolated, is_punctuation));
    return std::make_unique<SequencePreTokenizer>(std::move(steps));
  }
  if (type == "WhitespaceSplit") return split_at(Behavior::removed, is_whitespace);
  fail("{}: unknown pre-tokenizer type {}", where, type);
}

std::unique_ptr<PreTokenizer> make_regex_splits(const std::vector<std::string>& patterns,
                                                const std::string& where) {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  for (const std::string& pattern : patterns) {
    steps.push_back(std::make_unique<RegexSplit>(Regex(pattern, where), Behavior::isolated, false));
  }
  return std::make_unique<SequencePreTokenizer>(std::move(steps));
}

}  // namespace sumi::text

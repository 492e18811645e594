// Regular expressions of tokenizer files, run by PCRE2 (compiled to machine code where it can).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sumi::text {

// The dialect of tokenizer files is Oniguruma's (Ruby) over Unicode; rewrites it for PCRE2. The two
// differ in what \s, \w, \b and \h mean, in X{n,m}+, {,m}, \uHHHH, nested and intersected classes,
// and in names of properties. Throws Error on an unbalanced class.
std::string translate_regex(std::string_view pattern, const std::string& where);

class Regex {
 public:
  // Throws Error naming `where`, the pattern, and what is wrong in it.
  Regex(const std::string& pattern, const std::string& where);
  // Matches `text` itself and nothing else.
  static Regex literal(std::string_view text, const std::string& where);

  struct Match {
    size_t begin, end;  // bytes
  };
  // All matches from the left, none overlapping; an empty match just after another does not count.
  // text must be valid UTF-8. Throws Error if the pattern needs too many steps.
  std::vector<Match> matches(std::string_view text) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;  // copies share it; matching does not change it
};

}  // namespace sumi::text

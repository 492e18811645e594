// SentencePiece's table of replacements, `precompiled_charsmap`: a double-array trie of texts (the
// layout of darts-clone) and, for each, where its replacement stands in a list of C strings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sumi::text {

class Charsmap {
 public:
  Charsmap() = default;  // replaces nothing
  // Throws Error naming `where` on a blob whose sizes are wrong.
  Charsmap(std::string_view blob, const std::string& where);

  struct Match {
    size_t length;  // of the text's prefix
    std::string_view replacement;
  };
  // The longest, or the shortest, prefix of `text` that has a replacement.
  std::optional<Match> longest(std::string_view text) const;
  std::optional<Match> shortest(std::string_view text) const;

 private:
  template <class Found>  // found(Match) returns whether to go on
  void search(std::string_view text, const Found& found) const;

  std::vector<uint32_t> units_;
  std::string replacements_;  // valid UTF-8 between zeros
};

// As Hugging Face tokenizers' normalizer Precompiled: grapheme by grapheme if a grapheme has fewer
// than six bytes and a prefix of it is in the table, else character by character.
std::string normalize_precompiled(const Charsmap& map, std::string_view text);

std::string decode_base64(std::string_view text, const std::string& where);

}  // namespace sumi::text

// Tokens that are found in the text before anything else happens to it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sumi::text {

struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool special = false;      // left out by decode(skip_special), plain text with parse_special off
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = false;   // is looked for in normalized text
};

// Finds the leftmost, then longest, of a set of tokens, as Hugging Face tokenizers does.
class AddedTokenMatcher {
 public:
  struct Segment {
    int32_t id;         // -1: ordinary text
    size_t begin, end;  // bytes
  };

  void add(const AddedToken& token, std::string pattern);  // empty patterns match nothing
  // Segments in order, without gaps. with_special off leaves special tokens as text; as_text is
  // EncodeOptions::as_text.
  std::vector<Segment> split(std::string_view text, bool with_special,
                             std::span<const int32_t> as_text = {}) const;

 private:
  struct Entry {
    AddedToken token;
    std::string pattern;
  };
  std::vector<Entry> entries_;
  std::array<std::vector<uint32_t>, 256> by_first_byte_;  // indices, longest pattern first
};

}  // namespace sumi::text

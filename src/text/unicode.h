// UTF-8 and the few Unicode properties that tokenizers use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sumi::text {

// Bytes that are not UTF-8 become U+FFFD, one for each maximal part of an ill-formed sequence
// (Unicode 15, section 3.9), as Python's bytes.decode("utf-8", "replace") does.
std::string repair_utf8(std::string_view bytes);

bool is_valid_utf8(std::string_view bytes);

// Length of `bytes` without an unfinished character at its end: what a stream may emit.
size_t finished_utf8(std::string_view bytes);

// The code point at *position, which moves past it. The text must be valid UTF-8.
char32_t next_code_point(std::string_view text, size_t* position);

// Bytes of the character that starts with this byte; 1 for a byte that starts none.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

void append_utf8(std::string* text, char32_t code_point);
void replace_all(std::string* text, std::string_view from, std::string_view to);  // from not empty

bool is_whitespace(char32_t code_point);   // property White_Space
bool is_number(char32_t code_point);       // general category N
bool is_punctuation(char32_t code_point);  // general category P, or ASCII punctuation
bool is_mark(char32_t code_point);         // general category M
bool is_nonspacing_mark(char32_t code_point);  // general category Mn
bool is_control(char32_t code_point);          // general category Cc, Cf or Co
bool is_word(char32_t code_point);         // letters, marks, digits, connectors, joiners

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// Valid UTF-8 in, valid UTF-8 out. Linear but for the sorting of marks.
std::string normalize(std::string_view text, NormalForm form);

// Each code point alone, so no final-sigma rule: what Rust's char::to_lowercase gives.
std::string lowercase(std::string_view text);

// GPT-2's alphabet of 256 visible characters, one per byte: "Ġ" stands for a space.
// Source: bytes_to_unicode in openai/gpt-2, src/encoder.py.
const std::string& byte_symbol(uint8_t byte);
int symbol_byte(char32_t code_point);  // -1 if it stands for none

}  // namespace sumi::text

// Python's str seen from UTF-8: code points, white space, case. All text inside the interpreter is
// valid UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sumi::text::jinja {

// Replaces each invalid byte sequence by U+FFFD, surrogates included.
std::string valid_utf8(std::string_view text);

// The code point at `position`, which is moved behind it. `text` must be valid UTF-8.
char32_t next_code_point(std::string_view text, size_t& position);
// The code point that ends at `position` (> 0), which is moved to its start.
char32_t previous_code_point(std::string_view text, size_t& position);
void append_code_point(std::string& out, char32_t c);

bool is_ascii(std::string_view text);
size_t count_code_points(std::string_view text);
// Byte offset of code point `index`; the size of the text if it has fewer.
size_t byte_offset(std::string_view text, size_t index);

bool is_space(char32_t c);    // str.isspace and \s
bool is_alpha(char32_t c);    // str.isalpha
bool is_decimal(char32_t c);  // str.isdecimal
bool is_digit(char32_t c);    // str.isdigit
bool is_numeric(char32_t c);  // str.isnumeric
bool is_word(char32_t c);     // \w
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_title(char32_t c);
bool is_printable(char32_t c);   // what repr() shows as it is
bool is_line_break(char32_t c);  // str.splitlines

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string swap_case(std::string_view text);
std::string capitalize(std::string_view text);
std::string title_case(std::string_view text);  // str.title

enum class Side { left, right, both };
// Without white space at the ends, or without any of the code points of *chars.
std::string_view strip(std::string_view text, Side side, const std::string_view* chars = nullptr);

}  // namespace sumi::text::jinja

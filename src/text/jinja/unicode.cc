#include "text/jinja/unicode.h"

#include <utf8proc.h>

#include <algorithm>

namespace sumi::text::jinja {
namespace {

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

// Full upper-case mappings that are longer than one code point, of the letters met in practice
// (Unicode SpecialCasing.txt).
void append_upper(std::string& out, char32_t c) {
  static constexpr const char* kLigatures[] = {"FF", "FI", "FL", "FFI", "FFL", "ST", "ST"};
  if (c == 0xdf) {
    out += "SS";
  } else if (c == 0x149) {
    out += "\xca\xbcN";
  } else if (c >= 0xfb00 && c <= 0xfb06) {
    out += kLigatures[c - 0xfb00];
  } else {
    append_code_point(out, utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
  }
}

void append_title(std::string& out, char32_t c) {
  if (c == 0xdf) {
    out += "Ss";
  } else if (c == 0x149 || (c >= 0xfb00 && c <= 0xfb06)) {
    std::string upper;
    append_upper(upper, c);
    const size_t first = c == 0x149 ? upper.size() : 1;
    out += upper.substr(0, first) + to_lower(upper.substr(first));
  } else {
    append_code_point(out, utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
  }
}

bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }

// Sigma at the end of a word, and after a letter, is final (Unicode 3.13, Final_Sigma).
bool is_final_sigma(std::string_view text, size_t begin, size_t end) {
  if (begin == 0 || !is_cased(previous_code_point(text, begin))) return false;
  return end >= text.size() || !is_cased(next_code_point(text, end));
}

// Appends the lower case of the code point text[begin, end).
void append_lower(std::string& out, std::string_view text, size_t begin, size_t end, char32_t c) {
  if (c == 0x3a3) {
    append_code_point(out, is_final_sigma(text, begin, end) ? 0x3c2 : 0x3c3);
  } else if (c == 0x130) {
    out += "i\xcc\x87";
  } else {
    append_code_point(out, utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  }
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      out += text[i++];
      continue;
    }
    utf8proc_int32_t c = -1;
    const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + i),
                                         static_cast<utf8proc_ssize_t>(text.size() - i), &c);
    if (length > 0) {
      out.append(text.substr(i, static_cast<size_t>(length)));
      i += static_cast<size_t>(length);
    } else {
      out += "\xef\xbf\xbd";
      ++i;
    }
  }
  return out;
}

char32_t next_code_point(std::string_view text, size_t& position) {
  const auto at = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) & 0x3fu : 0u;
  };
  const auto lead = static_cast<unsigned char>(text[position]);
  const size_t p = position;
  if (lead < 0x80) {
    position += 1;
    return lead;
  }
  if (lead < 0xe0) {
    position = std::min(text.size(), p + 2);
    return ((lead & 0x1fu) << 6) | at(p + 1);
  }
  if (lead < 0xf0) {
    position = std::min(text.size(), p + 3);
    return ((lead & 0x0fu) << 12) | (at(p + 1) << 6) | at(p + 2);
  }
  position = std::min(text.size(), p + 4);
  return ((lead & 0x07u) << 18) | (at(p + 1) << 12) | (at(p + 2) << 6) | at(p + 3);
}

char32_t previous_code_point(std::string_view text, size_t& position) {
  do {
    --position;
  } while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xc0) == 0x80);
  size_t at = position;
  return next_code_point(text, at);
}

void append_code_point(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t position = 0;
  while (index > 0 && position < text.size()) {
    next_code_point(text, position);
    --index;
  }
  return position;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

bool is_alpha(char32_t c) {
  const auto k = category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_digit(char32_t c) {
  return is_decimal(c) || c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 ||
         (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) ||
         (c >= 0x2460 && c <= 0x2468);
}

bool is_numeric(char32_t c) {
  const auto k = category(c);
  return k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;
}

bool is_word(char32_t c) { return c == '_' || is_alpha(c) || is_numeric(c); }
bool is_upper(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LU; }
bool is_lower(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LL || c == 0xaa || c == 0xba; }
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

bool is_line_break(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

std::string to_upper(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) append_upper(out, next_code_point(text, i));
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    append_lower(out, text, begin, i, c);
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    if (is_upper(c)) {
      append_lower(out, text, begin, i, c);
    } else if (is_lower(c)) {
      append_upper(out, c);
    } else {
      append_code_point(out, c);
    }
  }
  return out;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  std::string out;
  size_t i = 0;
  append_title(out, next_code_point(text, i));
  while (i < text.size()) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    append_lower(out, text, begin, i, c);
  }
  return out;
}

std::string title_case(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    if (in_word) {
      append_lower(out, text, begin, i, c);
    } else {
      append_title(out, c);
    }
    in_word = is_cased(c);
  }
  return out;
}

std::string_view strip(std::string_view text, Side side, const std::string_view* chars) {
  const auto drop = [&](char32_t c) {
    if (chars == nullptr) return is_space(c);
    for (size_t i = 0; i < chars->size();) {
      if (next_code_point(*chars, i) == c) return true;
    }
    return false;
  };
  size_t begin = 0, end = text.size();
  if (side != Side::right) {
    while (begin < end) {
      size_t next = begin;
      if (!drop(next_code_point(text, next))) break;
      begin = next;
    }
  }
  if (side != Side::left) {
    while (end > begin) {
      size_t previous = end;
      if (!drop(previous_code_point(text, previous))) break;
      end = previous;
    }
  }
  return text.substr(begin, end - begin);
}

}  // namespace sumi::text::jinja

// Tables as comma-separated values, RFC 4180: quotes around fields with commas, quotes (doubled) or
// line ends; lines end with LF or CR LF.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sumi::formats {

// Rows of fields; empty lines are left out. Throws Error naming `name` and line on a quote that is
// not closed, on text after a closing quote, and on a row with another number of fields than the
// first.
std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& name);

}  // namespace sumi::formats

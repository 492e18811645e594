#include "text/tiktoken.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "text/charsmap.h"
#include "text/spm.h"
#include "text/unicode.h"

namespace sumi::text {

std::unique_ptr<TokenModel> read_tiktoken(std::string_view text, const std::string& where) {
  TokenTable table;
  size_t line_number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line_number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    const std::string here = where + " line " + std::to_string(line_number);
    const size_t space = line.find(' ');
    int64_t rank = -1;
    if (space != std::string_view::npos) {
      const char* last = line.data() + line.size();
      const auto [stop, error] = std::from_chars(line.data() + space + 1, last, rank);
      if (error != std::errc() || stop != last) rank = -1;
    }
    if (rank < 0) fail("{}: expected a token in base64 and its rank", here);
    std::string token;
    for (const char c : decode_base64(line.substr(0, space), here)) {
      token += byte_symbol(static_cast<uint8_t>(c));
    }
    if (token.empty() || !table.insert(token, rank)) {
      fail("{}: the token is empty, it or rank {} is there already, or the rank is above {}", here,
           rank, TokenTable::kMaxId);
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (table.find(byte_symbol(static_cast<uint8_t>(byte))) < 0) {
      fail("{}: no token for the byte 0x{:02X}", where, byte);
    }
  }
  // Ranks up to 2^24 are exact in float.
  std::vector<float> scores(static_cast<size_t>(table.size()));
  for (size_t id = 0; id < scores.size(); ++id) scores[id] = -static_cast<float>(id);
  SpmOptions options;
  options.whole_first = true;
  return std::make_unique<Spm>(std::move(table), std::move(scores), std::move(options), where);
}

}  // namespace sumi::text
